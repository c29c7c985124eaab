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
-- KEYS  the stream, its records
-- ARGV  1 to count only, and change nothing (else 0); then ids of entries
-- Answers how many there were, and how many of them some group had not finished.

-- include: beside
-- include: dropped
-- include: facts
-- include: given
-- include: given_up
-- include: ids
-- include: known
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

for i, row in ipairs(redis.call('XINFO', 'GROUPS', stream)) do
  local of = facts(row)
  local _, removed = put_back_dropped(stream, records, of)
  groups[i], of.unread, of.removed = of, 0, removed
  taken[of['name']], put_back[of['name']], settled[of['name']] = {}, {}, {}
end

for i = 2, #ARGV do
  local id = ARGV[i]
  if take_out(id) then
    erased = erased + 1
    local open = 0
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
