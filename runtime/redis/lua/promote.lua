#!lua flags=allow-oom
-- Moves due tasks to the tail of their queue, for the one holder that leads.
--
-- KEYS  1 delayed tasks, ZSET
--       2 queue, LIST
--       3 the holder that leads, STRING
-- ARGV  1 holder
--       2 ms for which it leads from now on
--       3 how many tasks to move at most
-- Reply 1 1 if the holder leads, else 0
--       2 how many tasks were moved
--       3 ms until the next one is due, -1 if there is none; where another holder leads, ms until
--         its lead lapses
--
-- Keeps I1: each task is in the queue before it is removed from the delayed ones, and a removal
-- that fails undoes that. Keeps I3: what is due first goes first.
local leader = redis.call('GET', KEYS[3])
if leader and leader ~= ARGV[1] then
  return {0, 0, math.max(0, redis.call('PTTL', KEYS[3]))}
end
redis.call('SET', KEYS[3], ARGV[1], 'PX', ARGV[2])
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local due = redis.call('ZRANGE', KEYS[1], '-inf', now, 'BYSCORE', 'LIMIT', 0, ARGV[3])
for _, body in ipairs(due) do
  redis.call('RPUSH', KEYS[2], body)
  local removed = redis.pcall('ZREM', KEYS[1], body)
  if type(removed) == 'table' then
    redis.pcall('RPOP', KEYS[2])
    return removed
  end
end
local first = redis.call('ZRANGE', KEYS[1], 0, 0, 'WITHSCORES')
local left = first[2] and math.max(0, tonumber(first[2]) - now) or -1
return {1, #due, left}
