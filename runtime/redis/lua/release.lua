#!lua flags=allow-oom
-- Gives held tasks back to the head of their queue.
--
-- KEYS  1 queue, LIST
--       2 the holder's inflight list, LIST
-- ARGV  pairs: a body, in the order in which they are to start, and what goes to the queue instead
--       of it, or '' for the body itself
-- Reply how many were given back; those that the holder no longer holds are left out
--
-- Keeps I3: the last goes first, so that the first ends up at the head. Keeps I1 and I2: the
-- queue is written first, the inflight list last, and a removal that fails undoes the write.
local count = 0
for i = #ARGV - 1, 1, -2 do
  if redis.call('LPOS', KEYS[2], ARGV[i], 'RANK', -1) then
    redis.call('LPUSH', KEYS[1], ARGV[i + 1] == '' and ARGV[i] or ARGV[i + 1])
    local removed = redis.pcall('LREM', KEYS[2], -1, ARGV[i])
    if type(removed) == 'table' then
      redis.pcall('LPOP', KEYS[1])
      return removed
    end
    count = count + 1
  end
end
return count
