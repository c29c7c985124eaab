-- Positions beyond the end of a stream: behind the last id that it generated.
--
-- Redis accepts such a position from anybody (XGROUP SETID, XGROUP CREATE). The group then skips every entry,
-- later ones too, until the stream's ids reach its position.

-- include: facts
-- include: ids
-- include: position
-- include: range_behind
-- include: read_at
local most_walked = 10000

local function is_beyond_end(position, info)
  return position ~= '$' and before(info['last-generated-id'], position)
end

-- Whether a position can make a group skip entries: one in the past cannot, as the ids of new entries come
-- behind it. Unlike the end of the stream, this costs no command.
local function is_to_come(position, now)
  return not before(position, string.format('%.0f-0', now))
end

-- The place up to which a group was given the entries, when its position lies beyond the end: what its
-- consumers recorded, and pending entries right behind that. Without a record, it is the beginning, as for a
-- new group. A record of a stream that was deleted since does not count: see `floor`.
local function given_up_to(stream, records, of, info)
  local group = of['name']
  local floor, added_then = string.match(redis.call('HGET', records, 'floor ' .. group) or '', '^(%S+) (%d+)')
  local place = redis.call('HGET', records, 'last ' .. group) or floor or '0-0'
  local is_made_anew = added_then and tonumber(added_then) > info['entries-added']
  if is_made_anew or is_beyond_end(place, info) then place = '0-0' end
  for _ = 1, of['pending'] > 0 and most_walked or 0, 100 do
    local page = range_behind(stream, place, '+', 100)
    for _, entry in ipairs(page) do
      if #redis.call('XPENDING', stream, group, entry[1], entry[1], 1) == 0 then return place end
      place = entry[1]
    end
    if #page < 100 then return place end
  end
  return place
end

-- Sets a group back whose position lies beyond the end. Answers its new and its former position ('': it was
-- well), and the group as it is now.
local function set_back(stream, records, of, info)
  local former, group = of['last-delivered-id'], of['name']
  if not is_beyond_end(former, info) then return '', of end
  local place = given_up_to(stream, records, of, info)
  redis.call(to_position('SETID', stream, group, place, read_at(stream, place)))
  return place .. ' ' .. former, group_of(stream, group)
end
