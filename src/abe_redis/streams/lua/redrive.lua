-- Moves dead letters back into their stream, each only for the group that gave up on it.
--
-- A deleted group is made again where it had finished. A group that was removed with all its records gets
-- only these entries. If the stream was deleted after the record was made, the group begins at the start of
-- the new stream.
--
-- Another group that has read everything is moved past them: what is not meant for it must not seem to wait
-- for it. One that is behind passes over them when it comes to them.
--
-- KEYS  the stream, its dead letters, its records
-- ARGV  how many entries the stream may have; ids of dead letters
-- Answers the ids of those that it moved; or an error, and then what came before it was moved.

-- include: facts
-- include: full
-- include: make_again
-- include: floor
-- include: known
-- include: position
-- include: split
local stream, dead, records = KEYS[1], KEYS[2], KEYS[3]
local hard_maxlen = tonumber(ARGV[1])
local moved = {}
local most_groups = 1000 -- with more, looking at all of them would hold the server up

-- By group that has read everything: its position; and how many entries were ever added.
local function groups_at_end()
  local found = {}
  if redis.call('EXISTS', stream) == 0 then return found, 0 end
  local info = facts(redis.call('XINFO', 'STREAM', stream))
  if info['groups'] > most_groups then return found, 0 end
  for _, row in ipairs(redis.call('XINFO', 'GROUPS', stream)) do
    local of = facts(row)
    if of['lag'] == 0 and of['last-delivered-id'] == info['last-generated-id'] then
      found[of['name']] = of['last-delivered-id']
    end
  end
  return found, info['entries-added']
end

local at_end, added = groups_at_end()
local is_for_all, last_id = false, nil

local function move_others_past()
  if is_for_all or not last_id then return end
  for group, position in pairs(at_end) do
    redis.call(to_position('SETID', stream, group, last_id, added + #moved))
    note_passed(records, group, position, last_id, #moved)
  end
end

-- Answers an error, if the group cannot be made.
local function make_ready(group)
  if group_of(stream, group) then return end
  if redis.call('EXISTS', stream) == 0 then
    local made = redis.pcall('XGROUP', 'CREATE', stream, group, '$', 'MKSTREAM')
    if made.err then return made end
    redis.call('XGROUP', 'DESTROY', stream, group)
  end
  local info, read = facts(redis.call('XINFO', 'STREAM', stream)), nil
  local recorded = redis.call('HGET', records, 'floor ' .. group)
  local from = floor_of(stream, records, group, info)
  if from == '0' and recorded then read = info['entries-added'] - info['length']
  elseif from == '0' then from, read = info['last-generated-id'], info['entries-added'] end
  return (make_again(stream, records, group, from, read))
end

-- Answers an error, if the stream or its group takes none; then it stays among the dead letters.
local function redrive(id)
  local entry = redis.call('XRANGE', dead, id, id)[1]
  if not entry then return end
  local fields, ours = split(entry[2])
  local group = ours['abe:group']
  local length = redis.call('XLEN', stream)
  if length >= hard_maxlen then return full(records, hard_maxlen, length) end
  if group then
    local refused = make_ready(group)
    if refused then return refused end
    fields[#fields + 1], fields[#fields + 2] = 'abe:only', group
    at_end[group] = nil
  else
    is_for_all = true
  end
  fields[#fields + 1], fields[#fields + 2] = 'abe:first', ours['abe:id'] or id
  last_id = redis.call('XADD', stream, '*', unpack(fields))
  redis.call('XDEL', dead, id)
  moved[#moved + 1] = id
end

local refused
for i = 2, #ARGV do
  refused = redrive(ARGV[i])
  if refused then break end
end
move_others_past()
return refused or moved
