-- Begins the records of a group that stands at a new position: forgets what this change makes void (see
-- `group_fields`), and records its floor at once, in case somebody destroys the group before a consumer
-- records it.

-- include: facts
-- include: group_fields
-- include: progress
local function begin_records(stream, records, group, change)
  forget_group(records, group, change)
  local info = facts(redis.call('XINFO', 'STREAM', stream))
  redis.pcall('HSET', records, 'floor ' .. group, (progress_of(stream, group_of(stream, group), info)))
end
