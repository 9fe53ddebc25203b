#!lua
-- Pushes a task for a producer, unless one of its id was pushed not long ago.
--
-- KEYS  1 where it goes: the queue, LIST, or the delayed tasks, ZSET
--       2 says that a task of this id was pushed, STRING
-- ARGV  1 the body
--       2 ms for which another push of this id is none
--       3 '' for the queue; for the delayed tasks '+' if it is due so many ms from now by the
--         server's clock, '@' if at that time
--       4 ms, or ''
-- Reply 1 if it was pushed, 0 if it was before
--
-- Keeps I1: the task is written first, and taken back if the note of its id fails. Without
-- allow-oom: a full server refuses producers.
if redis.call('EXISTS', KEYS[2]) == 1 then return 0 end
if ARGV[3] == '' then
  redis.call('RPUSH', KEYS[1], ARGV[1])
else
  local due = tonumber(ARGV[4])
  if ARGV[3] == '+' then
    local time = redis.call('TIME')
    due = due + time[1] * 1000 + math.floor(time[2] / 1000)
  end
  redis.call('ZADD', KEYS[1], due, ARGV[1])
end
local noted = redis.pcall('SET', KEYS[2], '1', 'PX', ARGV[2])
if noted.err then
  if ARGV[3] == '' then redis.pcall('RPOP', KEYS[1]) else redis.pcall('ZREM', KEYS[1], ARGV[1]) end
  return noted
end
return 1
