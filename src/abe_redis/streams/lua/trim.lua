-- Removes one step of the entries that are beyond a stream's bound and that every group has finished.
--
-- A group needs every entry behind the last one it was given, every pending entry and every postponed one:
-- it is delivered when it is due, also if somebody removed its consumer. A destroyed group needs everything
-- behind its floor, and what it has postponed. One that stands beyond the end of its stream (`beyond_end`)
-- needs everything behind what it was given. MINID keeps its argument, so no entry that a group needs is
-- removed.
-- Only a group that has had no consumer for long is passed over; its loss is counted. One look at the clock
-- does not prove that: it may have been set forward. So the group must look unused for an hour more, without
-- any sign of use. Without any group, nothing is removed unless an operator has chosen it; then that is
-- counted, too.
--
-- KEYS  per stream: the stream, its records
-- ARGV  the bound, how many entries a step removes at most, for how many ms a group may be without a consumer
--       before it is passed over (0: no group is), 1 to remove also what no group has ever read (else 0)
-- Answers per stream: how many it removed (-1: the stream is above its bound, and none could go); groups
-- that were passed over with how many entries each of them had not finished; and how many entries were
-- removed though no group has read them (-1: there is no group, so they were kept). When the first streams
-- have enough groups, or enough to remove, for one call, it answers for these alone.
-- flags: allow-oom

-- include: beside
-- include: beyond_end
-- include: clock
-- include: destroyed
-- include: given
-- include: known
-- include: missing
-- include: nobody
-- include: ids
-- include: position
-- include: settled
local maxlen, step, idle_ms = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local takes_unread = ARGV[4] == '1'
local now, seconds = now_ms(), redis.call('TIME')[1]
local answers, seen, most_seen = {}, 0, 3 * step -- entries and groups

-- Whether a group that looks unused has looked so for an hour; for as long as it may be without a consumer,
-- if that is shorter. It is noted when the group was last used, where it stands, when it was last looked at,
-- and how long it has looked unused since the first look. The time between two looks counts up to a sixth of
-- the hour, so that a step of the clock between them proves nothing either; any sign of use begins it anew.
local function is_confirmed(records, of, used, noted)
  local wait_ms, field = math.min(idle_ms, 3600 * 1000), 'unused ' .. of['name']
  local used_then, position, looked_at, looked_ms =
    string.match(noted or '', '^(%d+) (%S+) (%d+) (%d+)$')
  local stands_at = of.floor or of['last-delivered-id']
  local is_same = position == stands_at and math.abs(used - used_then) < 1000
  local passed_ms = is_same and now - looked_at or -1
  looked_ms = passed_ms < 0 and 0 or looked_ms + math.min(passed_ms, wait_ms / 6)
  if passed_ms < 0 or passed_ms >= wait_ms / 60 then
    redis.call('HSET', records, field,
      string.format('%.0f %s %.0f %.0f', used, stands_at, now, looked_ms))
  end
  return looked_ms >= wait_ms
end

-- Whether a group holds back trimming. A group without a record of its use counts as used from now on.
local function holds(stream, records, of)
  local group = of['name']
  local paused, used, noted =
    unpack(redis.call('HMGET', records, 'paused ' .. group, 'used ' .. group, 'unused ' .. group))
  if idle_ms == 0 or paused then return true end
  used = used and used * 1000
  for _, row in ipairs(of.floor and {} or redis.call('XINFO', 'CONSUMERS', stream, group)) do
    used = math.max(used or 0, now - facts(row)['idle'])
  end
  if not used then
    redis.call('HSET', records, 'used ' .. group, seconds)
    return true
  end
  if now - used >= idle_ms then return not is_confirmed(records, of, used, noted) end
  if noted then redis.call('HDEL', records, 'unused ' .. group) end
  return true
end

-- The number of these entries that lie behind a position and before the cut.
local function count_between(entries, position, cut)
  local count = 0
  for _, entry in ipairs(entries) do
    if before(entry[1], cut) and before(position, entry[1]) then count = count + 1 end
  end
  return count
end

-- Gives up the entries of a destroyed group before the cut; answers how many there are.
local function give_up_destroyed(records, of, entries, cut)
  local lost = count_between(entries, of.floor, cut)
  if lost > 0 then
    redis.call('HINCRBY', records, 'lost ' .. of['name'], lost)
    redis.call('HSET', records, 'floor ' .. of['name'],
      string.format('%s %s %.0f', of.floor, of.added_then, math.max(0, of.unfinished - lost)))
  end
  return lost
end

-- Gives up the entries of a group before the cut; answers how many there are.
local function give_up(stream, records, of, entries, cut)
  if cut == '0-0' then return 0 end -- nothing comes before it, and Redis refuses to be asked
  if of.floor then return give_up_destroyed(records, of, entries, cut) end
  local last, lost = of['last-delivered-id'], {}
  local unread = count_between(entries, last, cut)
  for _, row in ipairs(redis.call('XPENDING', stream, of['name'], '-', '(' .. cut, 2 * #entries)) do
    if redis.call('XACK', stream, of['name'], row[1]) == 1 then lost[#lost + 1] = row[1] end
    if row[2] == nobody then note_given(records, of['name'], row[1]) end
  end
  note_settled(beside(records, 'pending', of['name']), lost)
  if unread > 0 and of['entries-read'] then
    redis.call(to_position('SETID', stream, of['name'], last, of['entries-read'] + unread))
    note_passed(records, of['name'], last, last, unread)
  end
  if #lost + unread > 0 then redis.call('HINCRBY', records, 'lost ' .. of['name'], #lost + unread) end
  return #lost + unread
end

-- Where a group had finished when that was last recorded, if one of its consumers has vanished since, or if
-- entries are missing: what a removed consumer held is not pending, but is delivered again (see `vanished`).
-- Who came after the last list is known by the record of its leases.
local function floor_of_vanished(stream, records, of, recorded)
  local said = recorded['known ' .. of['name']]
  local floor = said and string.match(recorded['floor ' .. of['name']] or '', '^%S+')
  if not floor or floor == of.needed or not before(floor, of.needed) then return end
  local known, leases, others = known_in(said), leases_in(beside(records, 'leases', of['name'])), false
  for name, one in pairs(leases) do
    if one.at >= known.at then known.names[name] = true end
  end
  for _, row in ipairs(redis.call('XINFO', 'CONSUMERS', stream, of['name'])) do
    local name = facts(row)['name']
    known.names[name], others = nil, others or not (leases[name] or nobodys[name])
  end
  if next(known.names) then return floor end
  local pending = beside(records, 'pending', of['name'])
  return not others and may_miss(known, pending, records, of['name'], of) and floor
end

-- The sets of what groups have postponed, by the place of the group.
local function all_postponed(records, groups)
  local found = {}
  for first = 1, #groups, 100 do
    local sets = {}
    for at = first, math.min(first + 99, #groups) do
      sets[#sets + 1] = beside(records, 'due', groups[at]['name'])
    end
    local count = redis.call('EXISTS', unpack(sets))
    for i = 1, count > 0 and #sets or 0 do
      if redis.call('TYPE', sets[i]).ok == 'zset' then found[first + i - 1] = sets[i] end
    end
  end
  return found
end

-- The first of these entries that a group has postponed, if it comes before an id.
local function first_postponed(due, entries, id)
  for _, entry in ipairs(entries) do
    if not before(entry[1], id) then return end
    if redis.call('ZSCORE', due, entry[1]) then return entry[1] end
  end
end

-- The groups of a stream, those that somebody destroyed among them, each with the first id that it needs.
local function groups_of(stream, records)
  local found, exist, recorded = {}, {}, redis.call('HGETALL', records)
  local fields = facts(recorded)
  for _, row in ipairs(redis.call('XINFO', 'GROUPS', stream)) do
    local of = facts(row)
    exist[of['name']] = true
    if is_to_come(of['last-delivered-id'], now) then
      local info = facts(redis.call('XINFO', 'STREAM', stream))
      if is_beyond_end(of['last-delivered-id'], info) then
        of['last-delivered-id'] = given_up_to(stream, records, of, info)
      end
    end
    of.needed = of['last-delivered-id']
    if of['pending'] > 0 then
      local oldest = redis.call('XPENDING', stream, of['name'])[2]
      if before(oldest, of.needed) then of.needed = oldest end
    end
    of.needed = floor_of_vanished(stream, records, of, fields) or of.needed
    found[#found + 1] = of
  end
  for _, of in ipairs(destroyed_groups(stream, recorded, exist)) do
    of.needed = of.floor
    found[#found + 1] = of
  end
  return found
end

local function trim(stream, records)
  if redis.call('TYPE', stream).ok ~= 'stream' then return 0, {}, 0 end
  local excess = redis.call('XLEN', stream) - maxlen
  if excess <= 0 then return 0, {}, 0 end
  local groups = groups_of(stream, records)
  if #groups == 0 and not takes_unread then return -1, {}, -1 end
  local entries = redis.call('XRANGE', stream, '-', '+', 'COUNT', math.min(excess, step) + 1)
  seen = seen + #entries + #groups + 10
  local most_cut = entries[#entries][1]
  local cut, unused, given_up = most_cut, {}, {}
  local postponed = all_postponed(records, groups)
  for at, of in ipairs(groups) do
    if postponed[at] then
      of.needed = first_postponed(postponed[at], entries, of.needed) or of.needed
    end
    if before(of.needed, most_cut) then -- each is looked at, so that all that are unused are found at once
      if not holds(stream, records, of) then unused[#unused + 1] = of
      elseif before(of.needed, cut) then cut = of.needed end
    end
  end
  for _, of in ipairs(unused) do
    local count = before(of.needed, cut) and give_up(stream, records, of, entries, cut) or 0
    if count > 0 then
      given_up[#given_up + 1] = of['name']
      given_up[#given_up + 1] = count
    end
  end
  local count = redis.call('XTRIM', stream, 'MINID', cut)
  local unread = #groups == 0 and count or 0
  if unread > 0 then redis.call('HINCRBY', records, 'unread', unread) end
  return count > 0 and count or -1, given_up, unread
end

for i = 1, #KEYS, 2 do
  if seen >= most_seen then break end
  local stream, records = KEYS[i], KEYS[i + 1]
  answers[#answers + 1] = {trim(stream, records)}
end
write_given()
return answers
