#!lua flags=allow-oom
-- Gives a holder's lease back, at the end of an orderly stop.
--
-- KEYS  1 leases, HASH
--       2 holders, ZSET
--       3 its inflight list, LIST
--       4 number of its last batch, STRING
-- ARGV  1 holder
-- Reply 1 if nothing is left of the holder, 0 if it still owns tasks and stays listed for others
--       to find
--
-- Keeps I1 as forget does. Without a lease no death is counted for what is left (I7). The entry
-- among the holders goes last, for look relies on it that each lease has one. While tasks are left
-- the batch's number stays too, so that a batch that comes late is still known (I2).
redis.call('HDEL', KEYS[1], ARGV[1])
if redis.call('EXISTS', KEYS[3]) == 1 then return 0 end
redis.call('DEL', KEYS[4])
redis.call('ZREM', KEYS[2], ARGV[1])
return 1
