#!lua flags=allow-oom
-- Renews, or begins, a holder's lease on a queue.
--
-- KEYS  1 leases, HASH
--       2 holders, ZSET
-- ARGV  1 holder
--       2 the pulse and the slots, as `<pulse> <slots>`; another value at each renewal
-- Reply 1 if the lease was there, 0 if it begins now: at the start, or after it had lapsed
--
-- Keeps I4: the holder is listed before it can own anything, so that its tasks are found.
local now = redis.call('TIME')
local known = redis.call('HEXISTS', KEYS[1], ARGV[1])
redis.call('ZADD', KEYS[2], now[1] * 1000 + math.floor(now[2] / 1000), ARGV[1])
redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])
return known
