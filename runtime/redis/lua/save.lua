#!lua flags=allow-oom
-- Keeps the state that a held task has saved, in place of the one before.
--
-- KEYS  1 the holder's inflight list, LIST
--       2 saved states, HASH
-- ARGV  1 the task's body
--       2 the task's id
--       3 the state
-- Reply its number, which grows with each save; 0 if the holder doesn't hold the task, and nothing
--       was saved
--
-- Keeps I2: who has lost a task can't write over what its next run saves. It may be sent again: the
-- same state gets another number.
if not redis.call('LPOS', KEYS[1], ARGV[1]) then return 0 end
local before = redis.call('HGET', KEYS[2], ARGV[2])
local number = 1
if before then number = (tonumber(string.match(before, '^(%d+) ')) or 0) + 1 end
redis.call('HSET', KEYS[2], ARGV[2], string.format('%d ', number) .. ARGV[3])
return number
