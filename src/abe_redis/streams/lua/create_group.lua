-- Makes a group; it gets the entries behind a position. A position beyond the end of the stream means the
-- end. On request it makes a stream that does not exist yet, empty.
--
-- A group that somebody destroyed, and whose floor is recorded, is moved as by `reset_group`: for what it had
-- not finished before the position, the caller has agreed that it is skipped.
--
-- KEYS  the stream, its records, what the group has pending, the sorted set of postponed entries
-- ARGV  group, the position, 1 to make it though it has not finished everything (else 0),
--       how many undelivered entries are counted at most, 1 to make the stream if there is none (else 0)
-- Answers how many entries the destroyed group had pending, how many undelivered ones lie before the
-- position, and 1 if it was made (else 0); or Redis's error.
-- flags: allow-oom

-- include: beyond_end
-- include: read_at
-- include: make_group
-- include: begin_records
-- include: destroyed
-- include: left_unfinished
-- include: not_due
local stream, records, due = KEYS[1], KEYS[2], KEYS[4]
local group, position, force, most_counted = ARGV[1], ARGV[2], ARGV[3] == '1', ARGV[4]
local makes_stream = ARGV[5] == '1' and redis.call('EXISTS', stream) == 0
if makes_stream then position = '0' end
local pending, passed = 0, 0
local found = redis.pcall('XINFO', 'STREAM', stream)
if not found.err then
  local info = facts(found)
  if is_beyond_end(position, info) then position = '$' end
  local recorded = not group_of(stream, group) and redis.call('HGET', records, 'floor ' .. group)
  if recorded then
    local gone, unfinished = destroyed_group(group, recorded, info), {}
    local given = gone.floor
    if not gone.is_made_anew then
      unfinished, given = left_unfinished(stream, records, group, gone.floor)
    end
    local upto = position == '$' and '+' or position
    pending, passed = #unfinished, #redis.call('XRANGE', stream, '(' .. given, upto, 'COUNT', most_counted)
    if pending + passed > 0 and not force then return {pending, passed, 0} end
  end
end
local entries_read = makes_stream and 0 or read_at(stream, position)
local made = make_group(stream, records, group, position, entries_read, makes_stream)
if made.err then return made end
begin_records(stream, records, group,
  {'last', 'lost', 'deleted', 'paused', 'reclaimed', 'let go', 'given', 'known', 'gone'})
none_due(due)
return {pending, passed, 1}
