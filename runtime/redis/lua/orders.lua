#!lua flags=no-writes
-- Tells what was ordered: which queues are paused, and which tasks are cancelled.
--
-- KEYS  1 marks of cancelled tasks, ZSET
--       2… for each queue what says that it is paused, STRING
-- ARGV  the marks' names of tasks
-- Reply 1 per queue 1 if it is paused, else 0
--       2 per task 1 if it is cancelled and its body not dropped yet, else 0; empty if none is
local paused, cancelled = {}, {}
for i = 2, #KEYS do paused[i - 1] = redis.call('EXISTS', KEYS[i]) end
if #ARGV > 0 and redis.call('TYPE', KEYS[1]).ok == 'zset' then
  for i, name in ipairs(ARGV) do
    cancelled[i] = redis.call('ZSCORE', KEYS[1], name) and 1 or 0
  end
end
return {paused, cancelled}
