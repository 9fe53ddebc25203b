#!lua flags=allow-oom
-- Takes tasks from the head of a queue into a holder's inflight list.
--
-- KEYS  1 queue, LIST
--       2 the holder's inflight list, LIST
--       3 leases, HASH
--       4 marks of cancelled tasks, ZSET
--       5 says that the queue is paused, STRING
-- ARGV  1 holder
--       2 how many tasks at most
--       3 after how many bytes to take no more
-- Reply 1 1 if there are marks of cancelled tasks, else 0
--       2… the taken bodies, oldest first
--       or the error NOLEASE if the holder owns no lease
--
-- Keeps I1: each task moves in one command, so it is in one of the two lists at every moment, and
-- an error keeps what was moved before it. Keeps I3: head to tail, in order. Keeps I4: without a
-- lease nobody would look after what is taken.
if redis.call('HEXISTS', KEYS[3], ARGV[1]) == 0 then
  return redis.error_reply('NOLEASE the holder owns no lease')
end
local reply = {redis.call('TYPE', KEYS[4]).ok == 'zset' and 1 or 0}
if redis.call('EXISTS', KEYS[5]) == 1 then return reply end
local bytes, most = 0, tonumber(ARGV[3])
for i = 1, tonumber(ARGV[2]) do
  local raw = redis.pcall('LMOVE', KEYS[1], KEYS[2], 'LEFT', 'RIGHT')
  if not raw then break end
  if type(raw) == 'table' then
    if i == 1 then return raw end
    break
  end
  reply[i + 1] = raw
  bytes = bytes + #raw
  if bytes >= most then break end
end
return reply
