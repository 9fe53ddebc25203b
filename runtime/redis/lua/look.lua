#!lua flags=no-writes
-- Shows all holders of a queue.
--
-- KEYS  1 leases, HASH
--       2 holders, ZSET
-- ARGV  1 what the keys of inflight lists begin with
-- Reply 1 the leases: holder, value, holder, value, …
--       2 the holders without a lease: holder, 1 if it still owns tasks or 0, …
--
-- Keeps I4: a holder that took a task after its lease had gone is found here.
local leases = redis.call('HGETALL', KEYS[1])
local unleased = {}
-- Each lease has its entry among the holders, so equal numbers mean that there is no other.
if redis.call('ZCARD', KEYS[2]) * 2 ~= #leases then
  local leased = {}
  for i = 1, #leases, 2 do leased[leases[i]] = true end
  for _, holder in ipairs(redis.call('ZRANGE', KEYS[2], 0, -1)) do
    if not leased[holder] then
      unleased[#unleased + 1] = holder
      unleased[#unleased + 1] = redis.call('EXISTS', ARGV[1] .. holder)
    end
  end
end
return {leases, unleased}
