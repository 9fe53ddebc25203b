#!lua flags=no-writes
-- Looks for a text in some bodies of a list or a sorted set.
--
-- KEYS  1 the queue, an inflight list, or the delayed tasks: LIST or ZSET
-- ARGV  1 'LIST' or 'ZSET'
--       2 the text
--       3 rank of the first body to look at, 4 of the last: negative, from the end
-- Reply 1 how many bodies were looked at
--       2… those that have the text, each followed by its score, or '' of a list
--
-- It finds candidates without sending all bodies over the wire; who asks decodes them.
local found, step = {}, 1
if ARGV[1] == 'ZSET' then
  found = redis.call('ZRANGE', KEYS[1], ARGV[3], ARGV[4], 'WITHSCORES')
  step = 2
else
  found = redis.call('LRANGE', KEYS[1], ARGV[3], ARGV[4])
end
local reply = {#found / step}
for i = 1, #found, step do
  if string.find(found[i], ARGV[2], 1, true) then
    reply[#reply + 1] = found[i]
    reply[#reply + 1] = step == 2 and found[i + 1] or ''
  end
end
return reply
