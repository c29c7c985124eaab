-- Removes one step of the entries that are beyond a stream's bound and that every group has finished.
--
-- A group needs every entry behind the last one it was given, every pending entry and every postponed one:
-- it is delivered when it is due, also if somebody removed its consumer. A destroyed group needs everything
-- behind its floor. MINID keeps its argument, so no entry that a group needs is removed.
-- Only a group that has had no consumer for long is passed over; its loss is counted. Without any group,
-- nothing is removed unless an operator has chosen it; then that is counted, too.
--
-- KEYS  per stream: the stream, its records
-- ARGV  the bound, how many entries a step removes at most, for how many ms a group may be without a consumer
--       before it is passed over (0: no group is), 1 to remove also what no group has ever read (else 0)
-- Answers per stream: how many it removed (-1: the stream is above its bound, and none could go); groups
-- that were passed over with how many entries each of them had not finished; and how many entries were
-- removed though no group has read them (-1: there is no group, so they were kept). When the first streams
-- have enough to remove for one call, it answers for these alone.
-- flags: allow-oom

-- include: clock
-- include: destroyed
-- include: known
-- include: ids
-- include: position
local maxlen, step, idle_ms = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local takes_unread = ARGV[4] == '1'
local now, seconds = now_ms(), redis.call('TIME')[1]
local answers, entries_seen, most_entries = {}, 0, 3 * step

-- Whether a group holds back trimming. A group without a record of its use counts as used from now on.
local function holds(stream, records, of)
  local group = of['name']
  if idle_ms == 0 or redis.call('HGET', records, 'paused ' .. group) then return true end
  local used = redis.call('HGET', records, 'used ' .. group)
  used = used and used * 1000
  for _, row in ipairs(of.floor and {} or redis.call('XINFO', 'CONSUMERS', stream, group)) do
    used = math.max(used or 0, now - facts(row)['idle'])
  end
  if not used then
    redis.call('HSET', records, 'used ' .. group, seconds)
    return true
  end
  return now - used < idle_ms
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
  local last, lost = of['last-delivered-id'], 0
  local unread = count_between(entries, last, cut)
  for _, row in ipairs(redis.call('XPENDING', stream, of['name'], '-', '(' .. cut, 2 * #entries)) do
    lost = lost + redis.call('XACK', stream, of['name'], row[1])
  end
  if unread > 0 and of['entries-read'] then
    redis.call(to_position('SETID', stream, of['name'], last, of['entries-read'] + unread))
  end
  if lost + unread > 0 then redis.call('HINCRBY', records, 'lost ' .. of['name'], lost + unread) end
  redis.call('HDEL', records, 'known ' .. of['name'])
  return lost + unread
end

-- Where a group had finished when that was last recorded, if one of its consumers has vanished since: what
-- that consumer held is not pending, but is delivered again (see `vanished`).
local function floor_of_vanished(stream, records, of)
  local known = known_of(records, of['name'])
  local recorded = known and redis.call('HGET', records, 'floor ' .. of['name'])
  local floor = recorded and string.match(recorded, '^%S+')
  if not floor or not before(floor, of.needed) then return end
  for _, row in ipairs(redis.call('XINFO', 'CONSUMERS', stream, of['name'])) do
    known.names[facts(row)['name']] = nil
  end
  return next(known.names) and floor
end

-- The first id that a group has postponed among those that are due soonest. Trimming does not know which
-- groups there are, so the name of the key follows from that of the records.
local function first_postponed(records, of)
  local due, first = string.gsub(records, '^abe:groups:', 'abe:due:') .. ':' .. of['name'], nil
  for page = 0, 9 do
    local ids = redis.pcall('ZRANGE', due, 1000 * page, 1000 * page + 999)
    for _, id in ipairs(ids) do
      if not first or before(id, first) then first = id end
    end
    if #ids < 1000 then break end
  end
  return first
end

-- The groups of a stream, those that somebody destroyed among them, each with the first id that it needs.
local function groups_of(stream, records)
  local found, exist = {}, {}
  for _, row in ipairs(redis.call('XINFO', 'GROUPS', stream)) do
    local of = facts(row)
    exist[of['name']] = true
    of.needed = of['last-delivered-id']
    if of['pending'] > 0 then
      local oldest = redis.call('XPENDING', stream, of['name'])[2]
      if before(oldest, of.needed) then of.needed = oldest end
    end
    of.needed = floor_of_vanished(stream, records, of) or of.needed
    local postponed = first_postponed(records, of)
    if postponed and before(postponed, of.needed) then of.needed = postponed end
    found[#found + 1] = of
  end
  for _, of in ipairs(destroyed_groups(stream, records, exist)) do
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
  entries_seen = entries_seen + #entries + 10
  local cut, unused, given_up = entries[#entries][1], {}, {}
  for _, of in ipairs(groups) do
    if before(of.needed, cut) then
      if holds(stream, records, of) then cut = of.needed else unused[#unused + 1] = of end
    end
  end
  for _, of in ipairs(unused) do
    local count = give_up(stream, records, of, entries, cut)
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
  if entries_seen >= most_entries then break end
  local stream, records = KEYS[i], KEYS[i + 1]
  answers[#answers + 1] = {trim(stream, records)}
end
return answers
