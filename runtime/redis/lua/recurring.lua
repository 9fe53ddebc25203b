#!lua flags=allow-oom
-- Tells how far recurring tasks have been fired, and drops those that nobody declares any more.
--
-- KEYS  1 recurring tasks, HASH
-- ARGV  1 ms for which a name is kept that nobody asks for
--       2… the names that are asked for
-- Reply 1 the server's time in ms
--       2… for each name the ms up to which it was fired, -1 if it is seen for the first time
--
-- A field's value is `<fired up to> <last asked for>`. The second is brought up to date when it is
-- older than a tenth of the time for which names are kept, so that a look seldom writes.
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local kept = tonumber(ARGV[1])
local noted = redis.call('HGETALL', KEYS[1])
local asked, fired = {}, {}
for i = 2, #ARGV do asked[ARGV[i]] = true end
for i = 1, #noted, 2 do
  local name = noted[i]
  local upto, last = string.match(noted[i + 1], '^(%d+) (%d+)$')
  local age = now - (tonumber(last) or 0)
  if asked[name] then
    fired[name] = upto
    if upto and math.abs(age) > kept / 10 then
      redis.call('HSET', KEYS[1], name, string.format('%s %.0f', upto, now))
    end
  elseif age > kept then
    redis.call('HDEL', KEYS[1], name)
  end
end
local reply = {now}
for i = 2, #ARGV do reply[i] = tonumber(fired[ARGV[i]] or -1) end
return reply
