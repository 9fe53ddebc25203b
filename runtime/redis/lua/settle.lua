#!lua flags=allow-oom
-- Ends a batch of held tasks: stores and publishes answers, writes dead letters, delays, drops.
--
-- KEYS  1 the holder's inflight list, LIST
--       2 number and statuses of the holder's last batch, STRING
--       3 dead letters, STREAM
--       4 delayed tasks, ZSET
--       5 saved states, HASH
--       6 marks of cancelled tasks, ZSET
--       7 how many dead letters were trimmed, STRING
--       8… the result's key, STRING, of each item that has an answer, in order
-- ARGV  1 the batch's number; grows by one with each batch, and is the same when sent again
--       2 seconds after which an answer expires
--       3 the channel of all results
--       4 seconds after which KEYS[2] expires
--       5 how many dead letters are kept
--       6, 7 where the task's id begins and ends in the name of its result's key
--       8… the items: raw, its kind and what belongs to it
--          'A' is answered: the answer
--          'L' becomes a dead letter: how many fields it has beside the body, those fields, the
--              answer or '' if it has none
--          'D' is delayed: its mark's name, the body that waits, '+' if it is due so many ms from
--              now by the server's clock or '@' if at that time, those ms
--          'X' is dropped, for it was cancelled: its mark's name, or '' if it has none
--       A mark's name is the name of the result's key.
-- Reply 1 a status per item: D done, S stale (not held by this holder), C cancelled meanwhile and so
--         dropped, F refused by the server
--       2 the first refusal in words, or ''
--       3 how many dead letters were trimmed
--
-- Keeps I2: what isn't in our inflight list isn't ours to answer, and what was cancelled was
-- answered; a batch that comes again after a lost reply is known by its number and answers as
-- before, doing nothing. Keeps I1: the destination is written first and the source removed last; an
-- item whose removal fails has its writes undone, and no item's failure touches another's. What a
-- task has saved goes with its end; a state that can't be removed stays behind and harms nobody, for
-- no body tells of it.
local function failed(reply)
  return type(reply) == 'table' and reply.err
end

local before = redis.call('GET', KEYS[2])
if before then
  local number, statuses = string.match(before, '^(%d+) (%u*)$')
  if tonumber(number) >= tonumber(ARGV[1]) then return {statuses, '', 0} end
end
local marks = redis.call('TYPE', KEYS[6]).ok == 'zset'
local saves = redis.call('TYPE', KEYS[5]).ok == 'hash'

local statuses, refusal, publish, letters = {}, '', {}, 0

local function refused(reply)
  if refusal == '' then refusal = reply.err end
  return 'F'
end

local function remove(raw)
  return redis.pcall('LREM', KEYS[1], 1, raw)
end

local function forget(name)
  if not saves or not name then return end
  local forgotten = redis.pcall('HDEL', KEYS[5], string.sub(name, ARGV[6], ARGV[7]))
  if failed(forgotten) then refused(forgotten) end
end

local function drop(raw, name)
  local since = redis.pcall('ZSCORE', KEYS[6], name)
  if failed(since) then return refused(since) end
  if not since then return nil end
  local unmarked = redis.pcall('ZREM', KEYS[6], name)
  if failed(unmarked) then return refused(unmarked) end
  local removed = remove(raw)
  if not failed(removed) then
    forget(name)
    return 'C'
  end
  redis.pcall('ZADD', KEYS[6], since, name)
  return refused(removed)
end

local function finish(raw, key, answer, fields)
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
    local removed = remove(raw)
    if not failed(removed) then
      if letter then letters = letters + 1 end
      if key then publish[#publish + 1] = {key, answer} end
      forget(key)
      return 'D'
    end
    broken = removed
    if key then redis.pcall('DEL', key) end
  end
  if letter then redis.pcall('XDEL', KEYS[3], letter) end
  return refused(broken)
end

local now

local function delay(raw, body, mode, ms)
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
  local removed = remove(raw)
  if not failed(removed) then return 'D' end
  redis.pcall('ZREM', KEYS[4], body)
  return refused(removed)
end

local at, next_key = 8, 8
while at <= #ARGV do
  local raw, kind, first = ARGV[at], ARGV[at + 1], at + 2
  local name, fields, answer = nil, nil, ARGV[first]
  at = at + 3
  if kind == 'L' then
    fields = {}
    for i = 1, tonumber(answer) do fields[i] = ARGV[first + i] end
    answer = ARGV[first + #fields + 1]
    at = at + #fields + 1
  end
  if kind == 'D' then
    name = answer
    at = at + 3
  elseif kind == 'X' then
    name = answer
  elseif answer ~= '' then
    name = KEYS[next_key]
    next_key = next_key + 1
  end
  local status
  local place = redis.pcall('LPOS', KEYS[1], raw)
  if failed(place) then
    status = refused(place)
  elseif not place then
    status = 'S'
  else
    if marks and name then status = drop(raw, name) end
    if not status then
      if kind == 'D' then
        status = delay(raw, ARGV[first + 1], ARGV[first + 2], ARGV[first + 3])
      elseif kind == 'X' then
        status = finish(raw)
      else
        status = finish(raw, name, answer, fields)
      end
    end
  end
  statuses[#statuses + 1] = status
end

local all, trimmed = table.concat(statuses), 0
local noted = redis.pcall('SET', KEYS[2], ARGV[1] .. ' ' .. all, 'EX', ARGV[4])
if failed(noted) then refused(noted) end
for _, one in ipairs(publish) do
  local heard = redis.pcall('PUBLISH', ARGV[3], one[2])
  if failed(heard) then refused(heard) end
  heard = redis.pcall('PUBLISH', one[1], one[2])
  if failed(heard) then refused(heard) end
end
if letters > 0 then
  local gone = redis.pcall('XTRIM', KEYS[3], 'MAXLEN', ARGV[5])
  if failed(gone) then
    refused(gone)
  elseif gone > 0 then
    trimmed = gone
    redis.pcall('INCRBY', KEYS[7], gone)
  end
end
return {all, refusal, trimmed}
