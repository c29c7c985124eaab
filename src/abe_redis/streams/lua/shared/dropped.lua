-- Everything that somebody dropped with a consumer of a group, and that nobody has put back yet. A command
-- that counts what the group has not finished, to give it up, makes it pending again before, as workers do.

-- include: beside
-- include: clock
-- include: facts
-- include: given
-- include: ids
-- include: postponed
-- include: settled
-- include: vanished
local most_postponed = 10000

-- The consumers that somebody removed, and whose workers may live.
local function removed_lately(stream, records, group)
  local known, there, now = known_of(records, group), names_of(stream, group), now_ms()
  local found = {}
  for name, one in pairs(known and leases_in(beside(records, 'leases', group)) or {}) do
    local was_there = known.names[name] or one.at >= known.at
    if was_there and not there[name] and is_recent(one, now) then found[#found + 1] = name end
  end
  return found
end

-- What is postponed, and dropped, is not pending until it is due. A worker that has it takes it back from
-- nobody, as it takes back what is not postponed.
local function put_back_postponed(stream, records, group, due, last)
  local postponed = redis.pcall('ZRANGE', due, 0, most_postponed - 1, 'WITHSCORES')
  for i = 1, #postponed, 2 do
    local id, deliveries = postponed[i], postponed_deliveries(postponed[i + 1])
    if not before(last, id) and #redis.call('XPENDING', stream, group, id, id, 1) == 0 then
      local kept = redis.call('XCLAIM', stream, group, nobody, 0, id,
        'RETRYCOUNT', deliveries, 'FORCE', 'JUSTID')
      if #kept == 1 then note_back(records, group, id, deliveries) end
    end
  end
end

-- Puts it back, for a group with these facts. Answers how many entries are found to be lost, and the removed
-- consumers whose workers may have some of it in flight.
local function put_back_dropped(stream, records, of)
  local group = of['name']
  local due, leases = beside(records, 'due', group), beside(records, 'leases', group)
  names_read[stream] = nil -- of another group
  local removed = removed_lately(stream, records, group)
  put_back_given(stream, records, group)
  write_given()
  local _, lost = put_back_vanished(
    stream, records, due, leases, beside(records, 'pending', group), group, now_ms(), 0, of)
  put_back_postponed(stream, records, group, due, of['last-delivered-id'])
  return lost, removed
end
