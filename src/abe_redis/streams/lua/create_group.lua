-- Makes a group on an existing stream; it gets the entries behind a position. A position beyond the end of
-- the stream means the end.
--
-- KEYS  the stream, its records
-- ARGV  group, the position
-- Answers what Redis did, or its error.
-- flags: allow-oom

-- include: beyond_end
-- include: read_at
-- include: make_group
local stream, records = KEYS[1], KEYS[2]
local group, position = ARGV[1], ARGV[2]
local info = redis.pcall('XINFO', 'STREAM', stream)
if not info.err and is_beyond_end(position, facts(info)) then position = '$' end
local made = make_group(stream, records, group, position, read_at(stream, position))
if made.err then return made end
local recorded =
  {'floor', 'last', 'lost', 'deleted', 'paused', 'reclaimed', 'let go', 'given', 'known', 'gone'}
for _, what in ipairs(recorded) do
  redis.call('HDEL', records, what .. ' ' .. group)
end
return made
