-- Releases an entry that a consumer holds: at once, or with a delay.
--
-- TIME 0 dates the row to the epoch, so that the next consumer takes the entry. The set of postponed
-- entries lives as long as the longest delay, so that nothing is left of a deleted stream.
--
-- An entry that is released at once is pending under nobody's name. So it is not lost when somebody removes
-- the consumer. So is one that a person postpones, whom nobody waits for as for a consumer that is silent.
--
-- KEYS  the stream, the sorted set of postponed entries, the stream's records
-- ARGV  group, consumer, the entry's id, the delay in ms (0: none), for how many ms the set is kept,
--       how many deliveries are not counted (none, if it is postponed already), the least number of its
--       begun deliveries, 1 if its lease certainly lasts (else 0), 1 if it was not given back before
--       (else 0; or `by hand`, when a person releases it who is not the consumer; or `postponed`, when a
--       person releases what is postponed, whoever holds it; or `own`, when what somebody released since
--       shall not be postponed),
--       `ask` or `confirm`: see `again`; the name of the hold that ends (or ''): see `let_go`; why it is
--       postponed (or '')
-- Answers 1; 0, and changes nothing, when another consumer holds the entry; -1 when the stream no
-- longer has it, so that it is counted as lost; -2 when it was counted before, or nobody
-- holds it; `again`; or an error when there is no such group and the consumer names its hold of the entry.
-- flags: allow-oom

-- include: clock
-- include: holder
-- include: given
-- include: again
-- include: let_go
-- include: settled
-- include: postponed
-- include: not_due
-- include: reached
local stream, due, records = KEYS[1], KEYS[2], KEYS[3]
local group, consumer, id, delay_ms = ARGV[1], ARGV[2], ARGV[3], tonumber(ARGV[4])
local keep_ms, began, sure = ARGV[5], tonumber(ARGV[7]), ARGV[8] == '1'
local in_hand, is_by_hand, is_confirmed = ARGV[9] == '1', ARGV[9] == 'by hand', ARGV[10] == 'confirm'
local hold, taken_from = ARGV[11], consumer
local state, counted, is_given_back = holder(stream, group, consumer, id, sure, records, in_hand)
local due_at = redis.call('ZSCORE', due, id)
local uncounted = due_at and 0 or tonumber(ARGV[6]) -- what is postponed has had its delivery
if state == 'not_held' and ARGV[9] == 'postponed' and tonumber(due_at or 0) > now_ms() then
  state, is_by_hand = 'held', true
  taken_from = redis.call('XPENDING', stream, group, id, id, 1)[1][2]
end
if state == 'no_group' and hold ~= '' then
  return redis.error_reply('NOGROUP no group ' .. group .. ' on ' .. stream)
end
if state == 'deleted' then
  not_due(due, id)
  return note_gone(stream, records, group, id) and -1 or -2
end
if state == 'not_held' then return 0 end
if state ~= 'held' and state ~= 'dropped' then return -2 end
if ARGV[9] == 'own' and is_given_back and delay_ms > 0 then return 0 end
local is_late = due_at or hold ~= '' and counted - uncounted > began -- it began anew
is_late = is_late or was_let_go(records, group, id, hold)
local is_otherwise = state == 'dropped' or is_given_back or is_late
if is_otherwise and not is_confirmed then return redis.status_reply('again') end
local deliveries = math.max(0, counted - uncounted, began)
local whose, dated = consumer, 'IDLE'
put_back_given(stream, records, group)
if delay_ms == 0 then whose, dated = nobody, 'TIME' end
if delay_ms > 0 and is_by_hand then whose, dated = nobody_yet, 'TIME' end
local force = state == 'dropped' and 'FORCE' or 'JUSTID' -- a repeated word does no harm
local kept = redis.call('XCLAIM', stream, group, whose, 0, id,
  dated, 0, 'RETRYCOUNT', deliveries, 'JUSTID', force)
if #kept == 0 then
  not_due(due, id)
  note_given(records, group, id)
  write_given()
  return note_gone(stream, records, group, id) and -1 or -2
end
note_let_go(records, group, id, hold)
note_reached(records, group, id)
if is_by_hand and not nobodys[taken_from] then note_given_up(records, group, {id}, {taken_from}) end
if state == 'dropped' then note_back(records, group, id, deliveries) end
note_given(records, group, id, delay_ms == 0 and deliveries or nil)
write_given()
if delay_ms > 0 then
  redis.call('ZADD', due, postponed_score(now_ms() + delay_ms, deliveries), id)
  redis.call('PEXPIRE', due, keep_ms)
  note_reason(due, id, ARGV[12], keep_ms)
else
  not_due(due, id)
end
return 1
