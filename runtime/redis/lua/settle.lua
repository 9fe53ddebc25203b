#!lua flags=allow-oom
-- Ends a batch of held tasks: stores and publishes answers, writes dead letters, delays.
--
-- KEYS  1 the holder's inflight list, LIST
--       2 number and statuses of the holder's last batch, STRING
--       3 dead letters, STREAM
--       4 delayed tasks, ZSET
--       5 saved states, HASH
--       6… the result's key, STRING, of each item that has an answer, in order
-- ARGV  1 the batch's number; grows by one with each batch, and is the same when sent again
--       2 seconds after which an answer expires
--       3 the channel of all results
--       4 seconds after which KEYS[2] expires
--       5… the items: raw, then either -1, the body that is delayed, '+' if it is due so many ms
--         from now by the server's clock or '@' if at that time, those ms; or how many fields its
--         dead letter has beside the body (0: it has no dead letter), those fields, whether it has
--         an answer ('1' or '0'), the answer if so, the task's id or ''
-- Reply 1 a status per item: D done, S stale (not held by this holder), F refused by the server
--       2 the first refusal in words, or ''
--
-- Keeps I2: what isn't in our inflight list isn't ours to answer; a batch that comes again after
-- a lost reply is known by its number and answers as before, doing nothing. Keeps I1: the
-- destination is written first and the source removed last; an item whose removal fails has its
-- writes undone, and no item's failure touches another's. What a task has saved goes with its end;
-- a state that can't be removed stays behind and harms nobody, for no body tells of it.
local function failed(reply)
  return type(reply) == 'table' and reply.err
end

local before = redis.call('GET', KEYS[2])
if before then
  local number, statuses = string.match(before, '^(%d+) (%u*)$')
  if tonumber(number) >= tonumber(ARGV[1]) then return {statuses, ''} end
end

local saves = redis.call('TYPE', KEYS[5]).ok == 'hash'
local statuses, refusal, publish = {}, '', {}

local function refused(reply)
  if refusal == '' then refusal = reply.err end
  return 'F'
end

local function settle(raw, fields, key, answer)
  local place = redis.pcall('LPOS', KEYS[1], raw)
  if failed(place) then return refused(place) end
  if not place then return 'S' end
  local letter
  if fields then
    letter = redis.pcall('XADD', KEYS[3], '*', 'task', raw, unpack(fields))
    if failed(letter) then return refused(letter) end
  end
  local broken
  if key then
    local stored = redis.pcall('SET', key, answer, 'EX', ARGV[2])
    if failed(stored) then broken = stored end
  end
  if not broken then
    local removed = redis.pcall('LREM', KEYS[1], 1, raw)
    if not failed(removed) then return 'D' end
    broken = removed
    if key then redis.pcall('DEL', key) end
  end
  if letter then redis.pcall('XDEL', KEYS[3], letter) end
  return refused(broken)
end

local now

local function delay(raw, body, mode, ms)
  local place = redis.pcall('LPOS', KEYS[1], raw)
  if failed(place) then return refused(place) end
  if not place then return 'S' end
  local due = tonumber(ms)
  if mode == '+' then
    if not now then
      local time = redis.call('TIME')
      now = time[1] * 1000 + math.floor(time[2] / 1000)
    end
    due = due + now
  end
  local added = redis.pcall('ZADD', KEYS[4], due, body)
  if failed(added) then return refused(added) end
  local removed = redis.pcall('LREM', KEYS[1], 1, raw)
  if not failed(removed) then return 'D' end
  redis.pcall('ZREM', KEYS[4], body)
  return refused(removed)
end

local function ended(raw, count, at, next_key)
  local fields
  if count > 0 then
    fields = {}
    for i = 0, count - 1 do fields[i + 1] = ARGV[at + i] end
    at = at + count
  end
  local key, answer
  if ARGV[at] == '1' then
    key, answer = KEYS[next_key], ARGV[at + 1]
    next_key = next_key + 1
    at = at + 1
  end
  local id = ARGV[at + 1]
  local status = settle(raw, fields, key, answer)
  if status == 'D' then
    if key then publish[#publish + 1] = {key, answer} end
    if saves and id ~= '' then
      local dropped = redis.pcall('HDEL', KEYS[5], id)
      if failed(dropped) then refused(dropped) end
    end
  end
  return status, at + 2, next_key
end

local at, next_key = 5, 6
while at <= #ARGV do
  local raw, count = ARGV[at], tonumber(ARGV[at + 1])
  at = at + 2
  local status
  if count < 0 then
    status = delay(raw, ARGV[at], ARGV[at + 1], ARGV[at + 2])
    at = at + 3
  else
    status, at, next_key = ended(raw, count, at, next_key)
  end
  statuses[#statuses + 1] = status
end

local all = table.concat(statuses)
local noted = redis.pcall('SET', KEYS[2], ARGV[1] .. ' ' .. all, 'EX', ARGV[4])
if failed(noted) then refused(noted) end
for _, one in ipairs(publish) do
  local heard = redis.pcall('PUBLISH', ARGV[3], one[2])
  if failed(heard) then refused(heard) end
  heard = redis.pcall('PUBLISH', one[1], one[2])
  if failed(heard) then refused(heard) end
end
return {all, refusal}
