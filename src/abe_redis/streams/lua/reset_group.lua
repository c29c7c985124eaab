-- Moves a group to a position; it gets the entries behind it, some of them again. A position beyond
-- the end of the stream means the end.
--
-- Pending entries are acked. Those behind the new position are delivered again; for those before it, the
-- caller has agreed that they are skipped. So no entry has two holders: their consumers are told to let go of
-- them, and until then none puts one back. What somebody dropped with a consumer is put back before: it
-- counts.
--
-- KEYS  the stream, its records, the sorted set of postponed entries
-- ARGV  group, the position, 1 to move it though it has not finished everything (else 0; or `look`, to move
--       nothing), up to how many undelivered entries are counted one by one, and its turn
-- Answers how many entries were pending, how many undelivered ones lie before the position, 1 if these are
-- all (else 0), and 1 if it was moved, or with `look` has nothing to finish (else 0); or an error when there
-- is no such group, or it is out of turn.
-- flags: allow-oom

-- include: anew
-- include: beyond_end
-- include: position
-- include: begin_records
-- include: began
-- include: count_between
-- include: counted_at
-- include: dropped
-- include: given_up
-- include: nobody
-- include: not_due
-- include: turn
local stream, records, due = KEYS[1], KEYS[2], KEYS[3]
local group, position, force, most_counted = ARGV[1], ARGV[2], ARGV[3] == '1', tonumber(ARGV[4])
local refused = out_of_turn(records, ARGV[5], ARGV[6], ARGV[7])
if refused then return refused end
local of = group_of(stream, group)
if not of then return redis.error_reply('NOGROUP No such consumer group') end
local lost, removed = put_back_dropped(stream, records, of)
of = group_of(stream, group)
local info, given = facts(redis.call('XINFO', 'STREAM', stream)), of['last-delivered-id']
if is_beyond_end(position, info) then position = '$' end
if is_beyond_end(given, info) then given = given_up_to(stream, records, of, info) end
local pending, upto = of['pending'] + lost, position == '$' and '+' or position
local lag = given == of['last-delivered-id'] and of['lag']
local passed, is_all = count_between(stream, given, upto, most_counted, lag)
if pending + passed > 0 and not force then return {pending, passed, is_all, 0} end
if ARGV[3] == 'look' then return {pending, passed, is_all, 1} end
local holders = removed
for _, held in ipairs(redis.call('XPENDING', stream, group)[4] or {}) do
  if not nobodys[held[1]] then holders[#holders + 1] = held[1] end
end
note_given_up(records, group, {'<=' .. of['last-delivered-id']}, holders)
local rows = redis.call('XPENDING', stream, group, '-', '+', 100)
while #rows > 0 do
  for _, row in ipairs(rows) do redis.call('XACK', stream, group, row[1]) end
  rows = redis.call('XPENDING', stream, group, '-', '+', 100)
end
redis.call(to_position('SETID', stream, group, position, counted_at(stream, position, most_counted)))
begin_records(stream, records, group, 'moved')
note_moved(stream, records, group, given)
note_anew(records, group)
none_due(due)
note_turn(records, ARGV[6])
return {pending, passed, is_all, 1}
