#!lua flags=allow-oom
-- Keeps the state that a held task has saved, in place of the one before.
--
-- KEYS  1 the holder's inflight list, LIST
--       2 saved states, HASH
-- ARGV  1 the task's body
--       2 the task's id
--       3 the state
-- Reply its number, which grows with each state that differs from the one before; 0 if the holder
--       doesn't hold the task, and nothing was saved
--
-- Keeps I2: who has lost a task can't write over what its next run saves. Keeps I7: only something
-- new shows that a task gets on. It may be sent again: the same state keeps its number.
if not redis.call('LPOS', KEYS[1], ARGV[1]) then return 0 end
local before = redis.call('HGET', KEYS[2], ARGV[2])
local number, state
if before then number, state = string.match(before, '^(%d+) (.*)$') end
number = tonumber(number) or 0
if state == ARGV[3] then return number end
redis.call('HSET', KEYS[2], ARGV[2], string.format('%d ', number + 1) .. ARGV[3])
return number + 1
