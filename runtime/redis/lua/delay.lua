#!lua
-- Adds a task to the delayed ones, for a producer.
--
-- KEYS  1 delayed tasks, ZSET
-- ARGV  1 the body
--       2 '+' if it is due so many ms from now by the server's clock, '@' if at that time
--       3 ms
-- Reply 1 if it was added, 0 if the very same body waits there already
--
-- Keeps I1: one command. Without allow-oom: a full server refuses producers.
local due = tonumber(ARGV[3])
if ARGV[2] == '+' then
  local time = redis.call('TIME')
  due = due + time[1] * 1000 + math.floor(time[2] / 1000)
end
return redis.call('ZADD', KEYS[1], due, ARGV[1])
