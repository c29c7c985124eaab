-- Makes a group; it gets the entries behind a position. A position beyond the end of the stream means the
-- end. On request it makes a stream that does not exist yet, empty.
--
-- A group that somebody destroyed, and whose floor is recorded, is moved as by `reset_group`: for what it had
-- not finished before the position, the caller has agreed that it is skipped. The consumers that it had are
-- told to let go of what they hold.
--
-- KEYS  the stream, its records, what the group has pending, the sorted set of postponed entries
-- ARGV  group, the position, 1 to make it though it has not finished everything (else 0),
--       up to how many undelivered entries are counted one by one, 1 to make the stream if there is none
--       (else 0), and its turn
-- Answers how many entries the destroyed group had pending, how many undelivered ones lie before the
-- position, 1 if these are all (else 0), and 1 if it was made (else 0); or Redis's error, or an error when it
-- is out of turn.
-- flags: allow-oom

-- include: beyond_end
-- include: make_group
-- include: begin_records
-- include: began
-- include: beside
-- include: clock
-- include: count_between
-- include: counted_at
-- include: given_up
-- include: known
-- include: nobody
-- include: destroyed
-- include: left_unfinished
-- include: not_due
-- include: turn
local stream, records, due = KEYS[1], KEYS[2], KEYS[4]
local group, position, force, most_counted = ARGV[1], ARGV[2], ARGV[3] == '1', tonumber(ARGV[4])
local refused = out_of_turn(records, ARGV[6], ARGV[7], ARGV[8])
if refused then return refused end
local makes_stream = ARGV[5] == '1' and redis.call('EXISTS', stream) == 0
if makes_stream then position = '0' end
local pending, passed, is_all = 0, 0, 1
local holders, last = {}, nil
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
    pending = #unfinished
    passed, is_all = count_between(stream, given, upto, most_counted)
    if pending + passed > 0 and not force then return {pending, passed, is_all, 0} end
    last = info['last-generated-id'] -- none of them has anything behind that
    local names, now = (known_of(records, group) or {names = {}}).names, now_ms()
    -- Also those that have come since the list.
    for name, one in pairs(leases_in(beside(records, 'leases', group))) do
      if is_recent(one, now) then names[name] = true end
    end
    for name in pairs(names) do
      if not nobodys[name] then holders[#holders + 1] = name end
    end
  end
end
local entries_read = makes_stream and 0 or counted_at(stream, position, most_counted)
local made = make_group(stream, records, group, position, entries_read, makes_stream)
if made.err then return made end
begin_records(stream, records, group, 'made')
note_began(stream, records, group, last)
none_due(due)
note_turn(records, ARGV[7])
if last then note_given_up(records, group, {'<=' .. last}, holders) end
return {pending, passed, is_all, 1}
