#!lua flags=allow-oom
-- Sends dead letters again: to the tail of their queue, their old answers forgotten.
--
-- KEYS  1 dead letters, STREAM
--       2 queue, LIST
--       3 marks of cancelled tasks, ZSET
--       4… the result's key, STRING, of each item that has one, in order
-- ARGV  the items: the entry's id, the body that goes to the queue, whether it has a result's key
--       ('1' or '0')
-- Reply how many were sent; those that are no longer there are left out
--
-- Keeps I1: the queue is written first and the entry removed after it; a removal that fails undoes
-- the write. Keeps I2: the failure's answer is gone, so that the next one counts; and so is a mark of
-- its cancellation, which came when it was dead already.
local count, next_key = 0, 4
for at = 1, #ARGV, 3 do
  local key
  if ARGV[at + 2] == '1' then
    key = KEYS[next_key]
    next_key = next_key + 1
  end
  if #redis.call('XRANGE', KEYS[1], ARGV[at], ARGV[at]) > 0 then
    redis.call('RPUSH', KEYS[2], ARGV[at + 1])
    local removed = redis.pcall('XDEL', KEYS[1], ARGV[at])
    if type(removed) == 'table' then
      redis.pcall('RPOP', KEYS[2])
      return removed
    end
    if key then
      redis.pcall('DEL', key)
      redis.pcall('ZREM', KEYS[3], key)
    end
    count = count + 1
  end
end
return count
