-- Leases entries whose lease is over, that were given back, or whose postponement is over.
--
-- XCLAIM answers nothing for an entry that was removed meanwhile, and forgets it: it is lost. An entry
-- that was postponed is taken when it is due, however idle it is: until then it is dated anew. One that a
-- handler had already may be what killed it, so it is not taken along with more than a few others. One that
-- is due though nobody holds it was dropped, when somebody removed the consumer that had postponed it. A
-- lease lasts as long as its holder said, however long those of the taker are.
--
-- KEYS  per stream: the stream, the sorted set of what is postponed, its records, what consumers said of
--       their leases
-- ARGV  group, consumer, its lease in ms, how many to take at most when a handler had one of them already,
--       how many when no handler had any, 1 if their deliveries begin now (0: when `hold` says so)
-- Answers the entries, each with its stream, id, fields, number of deliveries, and 1 if a handler may have
-- begun with it (else 0); and the stream of each entry that is lost.

-- include: clock
-- include: untouched
-- include: facts
-- include: ids
-- include: leases
-- include: note_gone
local group, consumer, lease_ms = ARGV[1], ARGV[2], tonumber(ARGV[3])
local most_with_redelivered, limit, counted = tonumber(ARGV[4]), tonumber(ARGV[5]), ARGV[6]
local now = now_ms()
local taken, lost = {}, {}

-- Takes a pending entry, unless it is enough: then it answers false.
local function take(stream, records, pending)
  local id, deliveries = pending[1], pending[4]
  if deliveries > 0 and #taken < limit then
    limit = math.max(most_with_redelivered, math.min(limit, #taken))
  end
  if #taken >= limit then return false end
  local entry = redis.call('XCLAIM', stream, group, consumer, 0, id, 'RETRYCOUNT', deliveries + counted)[1]
  if entry then
    local fields = entry[2]
    taken[#taken + 1] = {stream, id, fields, deliveries + 1, is_untouched(pending) and 0 or 1}
  else
    redis.call('HINCRBY', records, 'lost ' .. group, 1)
    lost[#lost + 1] = stream
  end
  return true
end

-- Makes an entry pending that is due and that nobody holds, if the group was given it; answers its row.
local function put_back(stream, records, id)
  local of = group_of(stream, group)
  if before(of['last-delivered-id'], id) then return end
  if #redis.call('XRANGE', stream, id, id) == 0 then
    if note_gone(stream, records, group) then lost[#lost + 1] = stream end
    return
  end
  redis.call('XCLAIM', stream, group, consumer, 0, id, 'RETRYCOUNT', 0, 'FORCE', 'JUSTID')
  return {id, consumer, 0, 0}
end

local function take_due(stream, due, records)
  local ids = redis.call('ZRANGE', due, '-inf', now, 'BYSCORE', 'LIMIT', 0, limit - #taken)
  for _, id in ipairs(ids) do
    local rows = redis.pcall('XPENDING', stream, group, id, id, 1)
    if is_gone(rows, 'XPENDING') then return end
    local row = rows[1] or put_back(stream, records, id)
    if not row or take(stream, records, row) then redis.call('ZREM', due, id) end
  end
end

-- Each holder of pending entries, with the length of its leases; and that length, if they have it in common.
local function holders_of(stream, leases)
  local summary = redis.pcall('XPENDING', stream, group)
  if is_gone(summary, 'XPENDING') or summary[1] == 0 then return {} end
  local said, longest = leases_of(leases, lease_ms)
  local holders, common = {}, nil
  for i, row in ipairs(summary[4]) do
    local ms = lease_of(row[1], said, longest)
    holders[i] = {name = row[1], ms = ms}
    if i == 1 then common = ms elseif ms ~= common then common = nil end
  end
  return holders, common
end

-- Up to `count` pending entries whose lease is over, oldest first. Where leases differ, each holder is asked
-- about by itself, so that many who hold theirs for longer do not hide one who does not.
local function idle_rows(stream, leases, count)
  local holders, common = holders_of(stream, leases)
  if common then return redis.call('XPENDING', stream, group, 'IDLE', common, '-', '+', count) end
  local found = {}
  for _, holder in ipairs(holders) do
    local left = count - #found
    if left == 0 then break end
    local rows = redis.call('XPENDING', stream, group, 'IDLE', holder.ms, '-', '+', left, holder.name)
    for _, row in ipairs(rows) do found[#found + 1] = row end
  end
  table.sort(found, function(a, b) return before(a[1], b[1]) end)
  return found
end

local function take_idle(stream, due, records, leases, postponed)
  local count = math.min(1000, limit - #taken + postponed)
  for _, row in ipairs(idle_rows(stream, leases, count)) do
    local id, holder = row[1], row[2]
    if postponed > 0 and redis.call('ZSCORE', due, id) then
      redis.call('XCLAIM', stream, group, holder, 0, id, 'IDLE', 0, 'JUSTID')
    else
      take(stream, records, row)
    end
  end
end

for i = 1, #KEYS, 4 do
  if #taken >= limit then break end
  local stream, due, records, leases = KEYS[i], KEYS[i + 1], KEYS[i + 2], KEYS[i + 3]
  say_lease(leases, consumer, lease_ms, now)
  local postponed = redis.call('ZCARD', due)
  if postponed > 0 then take_due(stream, due, records) end
  take_idle(stream, due, records, leases, postponed)
end
return {taken, lost}
