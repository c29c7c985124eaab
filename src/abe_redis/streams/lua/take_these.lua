-- Leases chosen entries of a stream, and no others.
--
-- An undelivered entry can be leased only together with those before it. These are released at once,
-- without a delivery: the next consumer takes them, in their order.
--
-- KEYS  the stream, its records, the sorted set of postponed entries, consumers' records of their leases,
--       what the group has pending
-- ARGV  group, consumer, its lease in ms, how many entries may be passed over, 1 if what is postponed may be
--       taken (else 0), 1 if this is a delivery (else 0: it counts none); then the ids
-- Answers the leased entries, each with its id, fields, number of deliveries, the rest of its delay in ms
-- (0: it was not postponed) and why it was postponed (or ''); of each other id, why not: `held` (and by
-- whom), `postponed`, `done` (or never there), `far` (too many stand before it); and how many were passed
-- over. Or an error when there is no such group.
-- flags: allow-oom

-- include: clock
-- include: agents
-- include: untouched
-- include: ids
-- include: leases
-- include: read_new
-- include: reclaimed
-- include: given
-- include: postponed
-- include: range_behind
-- include: vanished
-- include: list_pending
-- include: settled
-- include: not_due
-- include: reached
local stream, records, due, leases, pending = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local group, consumer, lease_ms = ARGV[1], ARGV[2], tonumber(ARGV[3])
local most_passed, also_postponed, counts = tonumber(ARGV[4]), ARGV[5] == '1', tonumber(ARGV[6])
local now, of = now_ms(), group_of(stream, group)
if not of then return redis.error_reply('NOGROUP no group ' .. group .. ' on ' .. stream) end
say_lease(leases, consumer, lease_ms, now)
local said, longest = leases_of(leases, lease_ms)
local rows, others, ahead, last = {}, {}, {}, nil
put_back_given(stream, records, group)
put_back_vanished(stream, records, due, leases, pending, group, now)

local function is_there(id) return #redis.call('XRANGE', stream, id, id) > 0 end

local function take(id, had, holder, is_back, rest)
  local deliveries = had + counts
  local words = {'XCLAIM', stream, group, consumer, 0, id, 'RETRYCOUNT', deliveries, 'FORCE'}
  local entry = is_there(id) and redis.call(unpack(words))[1]
  if not entry then
    others[#others + 1] = {id, 'done', ''}
    return
  end
  local reason = rest and reason_of(due, id) or ''
  not_due(due, id)
  note_taken(records, group, consumer, id, holder)
  note_given(records, group, id)
  note_reached(records, group, id)
  if is_back then note_back(records, group, id, deliveries) end
  rows[#rows + 1] = {id, entry[2], deliveries, rest or 0, reason}
end

-- `rest` is that of the delay in ms; nil if it was not postponed. When that is over, nobody holds it, whoever
-- had postponed it.
local function take_pending(id, row, rest, is_back)
  local holder, idle, deliveries = row[2], row[3], row[4]
  if rest and rest > 0 then
    if also_postponed then
      take(id, deliveries, holder, is_back, math.ceil(rest))
    else
      others[#others + 1] = {id, 'postponed', ''}
    end
  elseif rest or idle > ten_years_ms then
    take(id, deliveries, is_back and holder or nil, is_back)
  elseif idle >= lease_of(holder, said, longest) then
    take(id, deliveries_of_handlers(holder, deliveries), holder)
  else
    others[#others + 1] = {id, 'held', holder}
  end
end

for i = 7, #ARGV do
  local id = ARGV[i]
  local row = redis.call('XPENDING', stream, group, id, id, 1)[1]
  local at = tonumber(redis.call('ZSCORE', due, id) or 0)
  if row or at > 0 then
    local is_back = not row
    row = row or {id, nobody, ten_years_ms + 1, 0} -- whose it was is not known
    row[4] = math.max(row[4], postponed_deliveries(at))
    take_pending(id, row, at > 0 and at - now or nil, is_back)
  elseif before(of['last-delivered-id'], id) and is_there(id) then
    ahead[id] = true
    if not last or before(last, id) then last = id end
  else
    others[#others + 1] = {id, 'done', ''}
  end
end

write_reclaimed(group)

-- How many entries to read, so that no more than allowed are passed over.
local function portion()
  if not last then return 0 end
  local from, wanted, passed, to_read = of['last-delivered-id'], 0, 0, 0
  while true do
    local page = range_behind(stream, from, last, 100)
    for _, entry in ipairs(page) do
      if ahead[entry[1]] then
        wanted, to_read = wanted + 1, passed + wanted + 1
      else
        passed = passed + 1
        if passed > most_passed then return to_read end
      end
    end
    if #page < 100 then return to_read end
    from = page[#page][1]
  end
end

local passed, to_read = 0, portion()
while to_read > 0 do
  local had, page = #found, math.min(100, to_read)
  local failure = read_new(stream, records, due, 4, group, consumer, page, '0-0', counts == 1)
  if failure then return failure end
  if #found == had then break end
  local entries = found[#found][2]
  to_read = to_read - #entries
  local back = {'XCLAIM', stream, group, nobody, 0}
  for _, entry in ipairs(entries) do
    if ahead[entry[1]] then
      ahead[entry[1]] = nil
      rows[#rows + 1] = {entry[1], entry[2], counts, 0, ''}
    else
      back[#back + 1] = entry[1]
      note_given(records, group, entry[1], 0)
    end
  end
  if #back > 5 then
    passed = passed + #back - 5
    for _, word in ipairs({'TIME', 0, 'RETRYCOUNT', 0, 'JUSTID'}) do back[#back + 1] = word end
    redis.call(unpack(back))
  end
end
write_given()
list_pending(stream, records, leases, pending, group, group_of(stream, group), now)
for id in pairs(ahead) do others[#others + 1] = {id, 'far', ''} end
return {rows, others, passed}
