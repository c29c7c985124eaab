-- Everything that somebody dropped with a consumer of a group, and that nobody has put back yet. A command
-- that counts what the group has not finished, to give it up, makes it pending again before, as workers do.

-- include: beside
-- include: clock
-- include: facts
-- include: given
-- include: put_back_postponed
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

-- Puts it back, for a group with these facts. Answers how many entries are found to be lost, and the removed
-- consumers whose workers may have some of it in flight.
local function put_back_dropped(stream, records, of)
  local group = of['name']
  local due, leases = beside(records, 'due', group), beside(records, 'leases', group)
  local removed = removed_lately(stream, records, group)
  put_back_given(stream, records, group)
  write_given()
  local _, lost = put_back_vanished(
    stream, records, due, leases, beside(records, 'pending', group), group, now_ms(), 0, of)
  local last, back = of['last-delivered-id'], {}
  local postponed = redis.pcall('ZRANGE', due, 0, most_postponed - 1, 'WITHSCORES')
  for i = 1, #postponed, 2 do
    local _, note = put_back_postponed(stream, group, last, postponed[i], postponed[i + 1], 0)
    back[#back + 1] = note
  end
  note_all_back(records, group, back)
  return lost, removed
end
