-- Moves a group to a position; it gets the entries behind it, some of them again. A position beyond
-- the end of the stream means the end.
--
-- Pending entries are acked. Those behind the new position are delivered again; for those before it, the
-- caller has agreed that they are skipped. So no entry has two holders.
--
-- KEYS  the stream, its records, the sorted set of postponed entries
-- ARGV  group, the position, 1 to move it though it has not finished everything (else 0),
--       how many undelivered entries are counted at most
-- Answers how many entries were pending, how many undelivered ones lie before the position, and 1 if it
-- was moved (else 0); or an error when there is no such group.

-- include: beyond_end
-- include: read_at
-- include: position
-- include: begin_records
-- include: not_due
local stream, records, due = KEYS[1], KEYS[2], KEYS[3]
local group, position, force, most_counted = ARGV[1], ARGV[2], ARGV[3] == '1', ARGV[4]
local of = group_of(stream, group)
if not of then return redis.error_reply('NOGROUP No such consumer group') end
local info, given = facts(redis.call('XINFO', 'STREAM', stream)), of['last-delivered-id']
if is_beyond_end(position, info) then position = '$' end
if is_beyond_end(given, info) then given = given_up_to(stream, records, of, info) end
local pending, upto = of['pending'], position == '$' and '+' or position
local passed = #redis.call('XRANGE', stream, '(' .. given, upto, 'COUNT', most_counted)
if pending + passed > 0 and not force then return {pending, passed, 0} end
local rows = redis.call('XPENDING', stream, group, '-', '+', 100)
while #rows > 0 do
  for _, row in ipairs(rows) do redis.call('XACK', stream, group, row[1]) end
  rows = redis.call('XPENDING', stream, group, '-', '+', 100)
end
redis.call(to_position('SETID', stream, group, position, read_at(stream, position)))
begin_records(stream, records, group, {'last', 'lost', 'deleted', 'reclaimed', 'given', 'known', 'gone'})
none_due(due)
return {pending, passed, 1}
