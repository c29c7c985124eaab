-- Gives entries back, so that the next consumer who looks takes them; removes the consumer from a group in
-- which it then holds nothing. A stream or group that does not exist is passed over.
--
-- KEYS  per stream: the stream, its records
-- ARGV  group, consumer, `all` (also what the consumer holds beside the known entries) or `these`;
--       per known entry: its stream, its id, the number of deliveries it shall have (below 0: keep the entry)
-- Answers how many were given back.

local group, consumer, everything = ARGV[1], ARGV[2], ARGV[3] == 'all'
local released = 0
local deliveries_of = {} -- per stream and id

for i = 4, #ARGV, 3 do
  local stream, id, deliveries = ARGV[i], ARGV[i + 1], tonumber(ARGV[i + 2])
  deliveries_of[stream] = deliveries_of[stream] or {}
  deliveries_of[stream][id] = deliveries
end

-- What is not known was never handed out, so the read that fetched it does not count.
local function release(stream, known, pending)
  local id = pending[1]
  local deliveries = known[id] or math.max(0, pending[4] - 1)
  if deliveries >= 0 then
    redis.call('XCLAIM', stream, group, consumer, 0, id, 'TIME', 0, 'RETRYCOUNT', deliveries, 'JUSTID')
    released = released + 1
  end
end

local function release_all(stream, known)
  local from, rows = '-'
  repeat
    rows = redis.call('XPENDING', stream, group, from, '+', 100, consumer)
    for _, row in ipairs(rows) do release(stream, known, row) end
    if #rows > 0 then from = '(' .. rows[#rows][1] end
  until #rows == 0
end

local function release_known(stream, known)
  for id in pairs(known) do
    local row = redis.call('XPENDING', stream, group, id, id, 1, consumer)[1]
    if row then release(stream, known, row) end
  end
end

for i = 1, #KEYS, 2 do
  local stream, records = KEYS[i], KEYS[i + 1]
  local known = deliveries_of[stream] or {}
  local held = redis.pcall('XPENDING', stream, group, '-', '+', 1, consumer)
  if not held.err then
    if #held > 0 then
      if everything then release_all(stream, known) else release_known(stream, known) end
    end
    if #redis.call('XPENDING', stream, group, '-', '+', 1, consumer) == 0 then
      redis.call('XGROUP', 'DELCONSUMER', stream, group, consumer)
      redis.call('HSET', records, 'used ' .. group, redis.call('TIME')[1])
    end
  end
end
return released
