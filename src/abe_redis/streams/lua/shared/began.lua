-- Where a group began, so that one can tell what it has finished from what it never gets: behind this id it
-- was given everything. With `moved` behind it, the group may have had what lies before that, too: it was
-- there before, and one of our commands moved it past that, or nobody knows where it began.

-- include: facts
-- include: ids
local function note_began(stream, records, group, was_there)
  local position = group_of(stream, group)['last-delivered-id']
  redis.pcall('HSET', records, 'began ' .. group, was_there and position .. ' moved' or position)
end

-- Notes that a command has moved a group, which was given everything up to `given`.
local function note_moved(stream, records, group, given)
  local position = group_of(stream, group)['last-delivered-id']
  local at, how = string.match(redis.call('HGET', records, 'began ' .. group) or '', '^(%S+)(.*)$')
  if not at or before(given, position) then
    redis.pcall('HSET', records, 'began ' .. group, position .. ' moved')
  elseif before(position, at) then
    redis.pcall('HSET', records, 'began ' .. group, position .. how)
  end
end
