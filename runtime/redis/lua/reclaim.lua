#!lua flags=allow-oom
-- Recovers the last tasks of a dead holder: back to the head of the queue, or put away.
--
-- KEYS  1 queue, LIST
--       2 the dead holder's inflight list, LIST
--       3 leases, HASH
--       4 dead letters, STREAM
--       5 saved states, HASH
--       6 marks of cancelled tasks, ZSET
--       7 how many dead letters were trimmed, STRING
--       8… the result's key, STRING, of each item that has an answer, in order
-- ARGV  1 the dead holder
--       2 its lease as it was seen, or '' if it owned none
--       3 seconds after which an answer expires
--       4 the channel of all results
--       5 how many dead letters are kept
--       6, 7 where the task's id begins and ends in the name of its result's key
--       8… the items, in the order of the list: the raw body, then either 'Q' and the body that
--         goes to the queue, or 'L', how many fields its dead letter has beside the body, those
--         fields, the answer or '' if it has none
-- Reply 1 how many items were recovered
--       2 how many dead letters were trimmed
--
-- Keeps I2: what was cancelled was answered, so it is dropped and not buried.
-- Keeps I5: nothing is done if the lease isn't what was seen: the holder lives, or another
-- worker was faster. Keeps I3: from the tail of the list to the head of the queue, so that the
-- oldest ends up at the head. Keeps I1: a body changes in place and moves in one command.
-- Keeps I7: a task whose deaths were counted is moved in the same breath, or not counted.
local function failed(reply)
  return type(reply) == 'table' and reply.err
end

local lease = redis.call('HGET', KEYS[3], ARGV[1]) or ''
if lease ~= ARGV[2] then return {0, 0} end
local marks = redis.call('TYPE', KEYS[6]).ok == 'zset'

local items, at, next_key = {}, 8, 8
while at <= #ARGV do
  local item = {raw = ARGV[at]}
  if ARGV[at + 1] == 'Q' then
    item.body = ARGV[at + 2]
    at = at + 3
  else
    local count = tonumber(ARGV[at + 2])
    item.fields = {}
    for i = 1, count do item.fields[i] = ARGV[at + 2 + i] end
    at = at + 3 + count
    if ARGV[at] ~= '' then
      item.key, item.answer = KEYS[next_key], ARGV[at]
      next_key = next_key + 1
    end
    at = at + 1
  end
  items[#items + 1] = item
end

local function requeue(item)
  if item.body ~= item.raw then redis.call('LSET', KEYS[2], -1, item.body) end
  local moved = redis.pcall('LMOVE', KEYS[2], KEYS[1], 'RIGHT', 'LEFT')
  if failed(moved) then
    redis.pcall('LSET', KEYS[2], -1, item.raw)
    return moved
  end
end

-- What it has saved goes with its end.
local function forget(item)
  if item.key then redis.pcall('HDEL', KEYS[5], string.sub(item.key, ARGV[6], ARGV[7])) end
end

local function drop(item)
  local since = redis.call('ZSCORE', KEYS[6], item.key)
  if not since then return false end
  redis.call('ZREM', KEYS[6], item.key)
  local removed = redis.pcall('RPOP', KEYS[2])
  if failed(removed) then
    redis.pcall('ZADD', KEYS[6], since, item.key)
    return removed
  end
  forget(item)
  return true
end

local letters = 0

local function bury(item)
  local letter = redis.call('XADD', KEYS[4], '*', 'task', item.raw, unpack(item.fields))
  local broken
  if item.key then
    local stored = redis.pcall('SET', item.key, item.answer, 'EX', ARGV[3])
    if failed(stored) then broken = stored end
  end
  if not broken then
    local removed = redis.pcall('RPOP', KEYS[2])
    if not failed(removed) then
      letters = letters + 1
      forget(item)
      if item.key then
        redis.pcall('PUBLISH', ARGV[4], item.answer)
        redis.pcall('PUBLISH', item.key, item.answer)
      end
      return nil
    end
    broken = removed
    if item.key then redis.pcall('DEL', item.key) end
  end
  redis.pcall('XDEL', KEYS[4], letter)
  return broken
end

-- Also when it ends early: what was buried until then counts.
local function trim()
  if letters == 0 then return 0 end
  local gone = redis.pcall('XTRIM', KEYS[4], 'MAXLEN', ARGV[5])
  if failed(gone) then return 0 end
  if gone > 0 then redis.pcall('INCRBY', KEYS[7], gone) end
  return gone
end

local recovered = 0
for i = #items, 1, -1 do
  local item = items[i]
  -- Somebody else has changed the list since it was read: look again first.
  if redis.call('LINDEX', KEYS[2], -1) ~= item.raw then return {recovered, trim()} end
  local broken
  if not item.fields then
    broken = requeue(item)
  else
    local dropped = marks and item.key and drop(item)
    if failed(dropped) then
      broken = dropped
    elseif not dropped then
      broken = bury(item)
    end
  end
  if broken then return broken end
  recovered = recovered + 1
end
if lease ~= '' then redis.call('HDEL', KEYS[3], ARGV[1]) end
return {recovered, trim()}
