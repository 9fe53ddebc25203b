#!lua flags=no-writes
-- Looks for a task in some of the dead letters, the newest first.
--
-- KEYS  1 dead letters, STREAM
-- ARGV  1 the task's id
--       2 the entry to begin with, '+' or an exclusive one such as '(1700000000000-0'
--       3 how many entries to look at
-- Reply 1 the last entry that was looked at, '' if there was none
--       2… of the newest entry of that task: its id, its reason, its error, when it was put away
local entries = redis.call('XREVRANGE', KEYS[1], ARGV[2], '-', 'COUNT', ARGV[3])
if #entries == 0 then return {''} end
for _, entry in ipairs(entries) do
  local fields = {}
  for i = 1, #entry[2], 2 do fields[entry[2][i]] = entry[2][i + 1] end
  if fields.task_id == ARGV[1] then
    return {entry[1], entry[1], fields.reason or '', fields.error or '', fields.time or ''}
  end
end
return {entries[#entries][1]}
