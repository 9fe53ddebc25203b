#!lua flags=allow-oom
-- Cancels a task: answers it, and marks it, so that its body is dropped when its turn comes.
--
-- KEYS  1 the result's key, STRING; its name is the mark's name
--       2 marks of cancelled tasks, ZSET: name -> when, ms of the server's clock
-- ARGV  1 the answer
--       2 seconds after which it expires
--       3 the channel of all results
--       4 ms after which a mark is forgotten: longer than a task can wait
-- Reply 1 if it is cancelled now, 0 if it was answered before, 2 if it was cancelled before
--
-- Keeps I2: one answer, and a mark is there before it, so that no other is stored any more; a store
-- that fails takes the mark back. The answer may have expired while the body still waits: then the
-- mark tells that it was given.
if redis.call('ZSCORE', KEYS[2], KEYS[1]) then return 2 end
if redis.call('EXISTS', KEYS[1]) == 1 then return 0 end
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
redis.call('ZADD', KEYS[2], now, KEYS[1])
local stored = redis.pcall('SET', KEYS[1], ARGV[1], 'EX', ARGV[2])
if stored.err then
  redis.pcall('ZREM', KEYS[2], KEYS[1])
  return stored
end
redis.pcall('ZREMRANGEBYSCORE', KEYS[2], '-inf', now - tonumber(ARGV[4]))
redis.pcall('PUBLISH', ARGV[3], ARGV[1])
redis.pcall('PUBLISH', KEYS[1], ARGV[1])
return 1
