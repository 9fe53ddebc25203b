#!lua flags=no-writes
-- Reads the numbers of saved states, without the states.
--
-- KEYS  1 saved states, HASH
-- ARGV  the tasks' ids
-- Reply a number for each id, 0 where there is no state; nothing at all if there are no states, or
--       the key holds something else
--
-- Keeps I7: a recovery tells by them which tasks get on; it isn't held up by a key of another type.
local numbers = {}
if redis.call('TYPE', KEYS[1]).ok ~= 'hash' then return numbers end
for i, id in ipairs(ARGV) do
  local saved = redis.call('HGET', KEYS[1], id)
  numbers[i] = saved and tonumber(string.match(saved, '^(%d+) ')) or 0
end
return numbers
