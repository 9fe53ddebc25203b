#!lua
-- Fires a recurring task: pushes its tasks and notes up to when it was fired, if nobody else has.
--
-- KEYS  1 recurring tasks, HASH
--       2 queue, LIST
-- ARGV  1 name
--       2 ms up to which it was fired before, -1 if it is seen for the first time
--       3 ms up to which it is fired then
--       4… the bodies, one for each due time; none if only the time is to be noted
-- Reply 1 if it was fired, 0 if another worker was first
--
-- Keeps each due time to one task: it is pushed only by who finds the time before it, and in the
-- same moment nobody finds that any more. Keeps I1: the tasks are written first, and taken back if
-- the note fails. Without allow-oom: a full server refuses producers, and this is one.
local noted = redis.call('HGET', KEYS[1], ARGV[1])
local before = noted and string.match(noted, '^(%d+) %d+$') or '-1'
if before ~= ARGV[2] then return 0 end
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
if #ARGV > 3 then redis.call('RPUSH', KEYS[2], unpack(ARGV, 4)) end
local wrote = redis.pcall('HSET', KEYS[1], ARGV[1], string.format('%s %.0f', ARGV[3], now))
if type(wrote) == 'table' then
  for _ = 4, #ARGV do redis.pcall('RPOP', KEYS[2]) end
  return wrote
end
return 1
