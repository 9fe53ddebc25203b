#!lua flags=allow-oom
-- Drops a holder that owns neither a lease nor a task.
--
-- KEYS  1 leases, HASH
--       2 holders, ZSET
--       3 its inflight list, LIST
-- ARGV  1 holder
-- Reply 1 if it was dropped, else 0
--
-- Keeps I1: a holder that owns a task stays listed, so that the task is found.
if redis.call('HEXISTS', KEYS[1], ARGV[1]) == 1 or redis.call('EXISTS', KEYS[3]) == 1 then
  return 0
end
return redis.call('ZREM', KEYS[2], ARGV[1])
