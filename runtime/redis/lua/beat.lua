#!lua flags=allow-oom
-- Stores a heartbeat, or removes it if it is still the one that was stored last.
--
-- KEYS  1 the worker's heartbeat, STRING
-- ARGV  1 'SET' or 'DEL'
--       2 the heartbeat
--       3 for SET: ms after which it expires
-- Reply 1 if it was stored or removed, else 0
--
-- A script, since a full server refuses a plain SET and the worker would look dead. Another
-- process with the same worker id keeps its own heartbeat.
if ARGV[1] == 'SET' then
  redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3])
  return 1
end
if redis.call('GET', KEYS[1]) == ARGV[2] then return redis.call('DEL', KEYS[1]) end
return 0
