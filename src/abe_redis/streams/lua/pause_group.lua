-- Pauses or resumes a group; also one that somebody destroyed, if its floor is recorded: a consumer makes it
-- again as it was, paused or not. On request it makes a group that does not exist yet, at the beginning, and
-- its stream, empty: so nothing of it is delivered before it is paused.
--
-- KEYS  the stream, its records
-- ARGV  group, 1 to pause it or 0 to let it go on, 1 to make what does not exist yet (else 0), and its turn
-- Answers 1 if that changed anything, else 0; or an error when there is no such group, or it is out of turn.
-- flags: allow-oom

-- include: facts
-- include: floor
-- include: make_group
-- include: begin_records
-- include: began
-- include: turn
local stream, records = KEYS[1], KEYS[2]
local group, pause, makes = ARGV[1], ARGV[2] == '1', ARGV[3] == '1'
local refused = out_of_turn(records, ARGV[4], ARGV[5], ARGV[6])
if refused then return refused end
local info = redis.call('EXISTS', stream) == 1 and facts(redis.call('XINFO', 'STREAM', stream))
local is_known = group_of(stream, group) or (info and redis.call('HGET', records, 'floor ' .. group))
if not is_known then
  if not makes then return redis.error_reply('NOGROUP No such consumer group') end
  floor_of(stream, records, group, info) -- what a deleted stream had unfinished is lost
  local entries_read = info and info['entries-added'] - info['length'] or 0
  local made = make_group(stream, records, group, '0', entries_read, not info)
  if made.err then return made end
  begin_records(stream, records, group, 'deleted')
  note_began(stream, records, group)
end
note_turn(records, ARGV[5])
local seconds = redis.call('TIME')[1]
if pause then
  if redis.call('HGET', records, 'paused ' .. group) then return 0 end
  return redis.call('HSET', records, 'paused ' .. group, seconds)
end
redis.call('HSET', records, 'used ' .. group, seconds)
return redis.call('HDEL', records, 'paused ' .. group)
