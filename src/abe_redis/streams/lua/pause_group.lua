-- Pauses or resumes a group; also one that somebody destroyed, if its floor is recorded: a consumer makes it
-- again as it was, paused or not.
--
-- KEYS  the stream, its records
-- ARGV  group, 1 to pause it or 0 to let it go on
-- Answers 1 if that changed anything, else 0; or an error when there is no such group.
-- flags: allow-oom

-- include: facts
local stream, records = KEYS[1], KEYS[2]
local group, pause = ARGV[1], ARGV[2] == '1'
if not group_of(stream, group) and not redis.call('HGET', records, 'floor ' .. group) then
  return redis.error_reply('NOGROUP No such consumer group')
end
local seconds = redis.call('TIME')[1]
if pause then
  if redis.call('HGET', records, 'paused ' .. group) then return 0 end
  return redis.call('HSET', records, 'paused ' .. group, seconds)
end
redis.call('HSET', records, 'used ' .. group, seconds)
return redis.call('HDEL', records, 'paused ' .. group)
