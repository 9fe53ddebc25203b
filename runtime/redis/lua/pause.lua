#!lua flags=allow-oom
-- Pauses a queue, or lets workers take from it again.
--
-- KEYS  1 says that the queue is paused, STRING: since when, ms of the server's clock
-- ARGV  1 'PAUSE' or 'RESUME'
-- Reply 1 if that changed something, else 0
--
-- A script, since a full server refuses a plain SET, and then one may want to pause.
if ARGV[1] == 'RESUME' then return redis.call('DEL', KEYS[1]) end
if redis.call('EXISTS', KEYS[1]) == 1 then return 0 end
local time = redis.call('TIME')
redis.call('SET', KEYS[1], string.format('%.0f', time[1] * 1000 + math.floor(time[2] / 1000)))
return 1
