-- Begins the records of a group that stands at a new position: forgets what they said of it, and records its
-- floor at once, in case somebody destroys the group before a consumer records it.

-- include: facts
-- include: progress
local function begin_records(stream, records, group, forgotten)
  for _, what in ipairs(forgotten) do
    redis.call('HDEL', records, what .. ' ' .. group)
  end
  local info = facts(redis.call('XINFO', 'STREAM', stream))
  redis.pcall('HSET', records, 'floor ' .. group, (progress_of(stream, group_of(stream, group), info)))
end
