-- Removes entries from a stream for good, and their rows in the pending lists of groups.
--
-- Erased entries that a group had not been given count as read; otherwise they would look lost, and stay in
-- its lag for ever. A group is moved past the erased entries directly in front of it, because Redis cannot
-- tell the lag across a gap.
--
-- Whoever holds an erased entry is told that a person took it, so that it does not count as lost: nobody
-- removed it by accident. What somebody dropped with a consumer is put back before, as it may be among these
-- entries; it is nobody's, and every consumer may have it in flight. The list of what is pending stays, with
-- these noted as settled: somebody may drop the rest with a consumer later (see `vanished`).
--
-- Of a group that somebody destroyed, the records tell what it had not finished. Its next worker makes it
-- again without what is erased; whoever may have that in flight is told, too.
--
-- KEYS  the stream, its records
-- ARGV  1 to count only, and change nothing (else 0); then ids of entries
-- Answers how many there were, and how many of them some group had not finished.
-- flags: allow-oom

-- include: beside
-- include: destroyed
-- include: dropped
-- include: facts
-- include: given
-- include: given_up
-- include: ids
-- include: known
-- include: left_unfinished
-- include: nobody
-- include: position
-- include: settled
-- include: untouched
local stream, records = KEYS[1], KEYS[2]
local only_count = ARGV[1] == '1'
local groups, erased, unfinished = {}, 0, 0

local function take_out(id)
  if only_count then return #redis.call('XRANGE', stream, id, id) > 0 end
  return redis.call('XDEL', stream, id) == 1
end

-- By group: what each consumer held of it; what is nobody's though it was not released; and everything that
-- was pending.
local taken, put_back, settled = {}, {}, {}

local function note_holder(group, id, name, idle)
  if not nobodys[name] then
    taken[group][name] = taken[group][name] or {}
    table.insert(taken[group][name], id)
  elseif idle <= ten_years_ms then
    table.insert(put_back[group], id)
  end
end

local function take_from(group, id)
  local row = redis.call('XPENDING', stream, group, id, id, 1)[1]
  if only_count then return row ~= nil end
  if row then note_holder(group, id, row[2], row[3]) end
  note_given(records, group, id)
  redis.pcall('ZREM', beside(records, 'due', group), id)
  redis.pcall('HDEL', beside(records, 'reasons', group), id)
  if redis.call('XACK', stream, group, id) == 0 then return false end
  table.insert(settled[group], id)
  return true
end

local exist, destroyed = {}, {}

local function floors_of_others()
  local floors = {}
  for _, field in ipairs(redis.call('HKEYS', records)) do
    local name = string.match(field, '^floor (.*)$')
    if name and not exist[name] then
      floors[#floors + 1], floors[#floors + 2] = field, redis.call('HGET', records, field)
    end
  end
  return floors
end

-- What a destroyed group had not finished, and the position behind which it was given nothing.
local function look_at_destroyed(of)
  local group, ids = of.name, {}
  of.is_open, of.open, of.erased = {}, 0, {}
  if of.is_made_anew then
    of.position = of.floor
  else
    ids, of.position = left_unfinished(stream, records, group, of.floor)
    of.removed = removed_lately(stream, records, group)
  end
  for _, id in ipairs(ids) do of.is_open[id] = true end
end

-- Answers whether a destroyed group had not finished an entry.
local function take_from_destroyed(of, id)
  local is_given = not before(of.position, id)
  local is_due = type(redis.pcall('ZSCORE', beside(records, 'due', of.name), id)) == 'string'
  if is_given and not (is_due or of.is_open[id]) then return false end
  of.open = of.open + 1
  if is_given then table.insert(of.erased, id) end
  return true
end

-- Takes what is erased out of what the records say of a destroyed group.
local function settle_destroyed(of)
  local group = of.name
  for _, id in ipairs(of.erased) do
    note_given(records, group, id)
    redis.pcall('ZREM', beside(records, 'due', group), id)
    redis.pcall('HDEL', beside(records, 'reasons', group), id)
  end
  note_given_up(records, group, of.erased, of.removed or {})
  note_settled(beside(records, 'pending', group), of.erased)
  if of.open > 0 and not of.is_made_anew then
    redis.pcall('HSET', records, 'floor ' .. group,
      string.format('%s %s %.0f', of.floor, of.added_then, math.max(0, of.unfinished - of.open)))
  end
end

for i, row in ipairs(redis.call('XINFO', 'GROUPS', stream)) do
  local of = facts(row)
  exist[of['name']] = true
  local _, removed = put_back_dropped(stream, records, of)
  groups[i], of.unread, of.removed = of, 0, removed
  taken[of['name']], put_back[of['name']], settled[of['name']] = {}, {}, {}
end

for _, of in ipairs(destroyed_groups(stream, floors_of_others(), exist)) do
  look_at_destroyed(of)
  destroyed[#destroyed + 1] = of
end

for i = 2, #ARGV do
  local id = ARGV[i]
  if take_out(id) then
    erased = erased + 1
    local open = 0
    for _, of in ipairs(destroyed) do
      if take_from_destroyed(of, id) then open = 1 end
    end
    for _, of in ipairs(groups) do
      if before(of['last-delivered-id'], id) then
        of.unread = of.unread + 1
        of.gap = of.gap or id
        open = 1
      elseif take_from(of['name'], id) then
        open = 1
      end
    end
    unfinished = unfinished + open
  end
end

if only_count then return {erased, unfinished} end
for _, of in ipairs(destroyed) do settle_destroyed(of) end
write_given()

-- The position behind what was erased, when nothing else lies between.
local function behind_gap(position, gap)
  local following = redis.call('XRANGE', stream, '(' .. position, '+', 'COUNT', 1)[1]
  if not following then return facts(redis.call('XINFO', 'STREAM', stream))['last-generated-id'] end
  if before(following[1], gap) then return position end
  return id_before(following[1])
end

-- Everybody who may have in flight what is nobody's.
local function note_all_holders(of, ids)
  local names, of_each = of.removed, taken[of['name']]
  for name in pairs(names_of(stream, of['name'])) do
    if not nobodys[name] then names[#names + 1] = name end
  end
  for _, name in ipairs(names) do
    of_each[name] = of_each[name] or {}
    for _, id in ipairs(ids) do table.insert(of_each[name], id) end
  end
end

for _, of in ipairs(groups) do
  local group = of['name']
  if #put_back[group] > 0 then note_all_holders(of, put_back[group]) end
  if next(taken[group]) then note_given_up_by(records, group, taken[group]) end
  note_settled(beside(records, 'pending', group), settled[group])
  if of.unread > 0 then
    local position = behind_gap(of['last-delivered-id'], of.gap)
    local read = of['entries-read'] and of['entries-read'] + of.unread
    redis.call(to_position('SETID', stream, group, position, read))
    note_passed(records, group, of['last-delivered-id'], position, of.unread)
  end
end
return {erased, unfinished}
