#!lua flags=allow-oom
-- Stores what is known of running tasks, and removes what was stored of those that run no more.
--
-- KEYS  what is known of each task, STRING
-- ARGV  1 ms after which it expires
--       2 how many of the keys, the first ones, are stored; the others are removed
--       3… for each key what is stored, or what was stored last
-- Reply how many were stored or removed
--
-- What somebody else has stored meanwhile stays: the task runs on another worker. A key that can't
-- be written keeps no other from it: it is for people to look at, and no task depends on it.
local count, stored = 0, tonumber(ARGV[2])
for i, key in ipairs(KEYS) do
  local done
  if i <= stored then
    done = redis.pcall('SET', key, ARGV[i + 2], 'PX', ARGV[1])
    done = type(done) == 'table' and done.ok
  elseif redis.pcall('GET', key) == ARGV[i + 2] then
    done = redis.pcall('DEL', key) == 1
  end
  if done then count = count + 1 end
end
return count
