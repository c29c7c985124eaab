-- Moves an entry that a consumer holds to the dead letters, and acks it.
--
-- The original fields stay as they are; our own fields stand beside them. An entry that was redriven before
-- has its original id in `abe:id`, and the one of now in `abe:entry`. Lua cannot pass on more than about
-- 8,000 values.
--
-- KEYS  the stream, its dead letters, the sorted set of postponed entries, the stream's records, what the
--       group has pending
-- ARGV  group, consumer, the entry's id, the reason, the least number of its begun deliveries,
--       1 if its lease certainly lasts (else 0), 1 if nobody tried to bury it before (else 0; or `by hand`,
--       when a person buries it who is not the consumer), `ask` or `confirm`: see `again`, the name of the
--       hold that ends (or ''): see `let_go`; then names and values of what is kept beside the reason
-- Answers 1, also when it was buried before; 0, and changes nothing, when another consumer holds the entry;
-- -1 when the stream no longer has it, so that it is counted as lost;
-- -2 when it was counted before, or nobody holds it; `again`; or an error when there
-- is no such group.

-- include: holder
-- include: given
-- include: split
-- include: is_buried
-- include: note_gone
-- include: again
-- include: let_go
-- include: settled
-- include: not_due
local stream, dead, due, records, pending = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local group, consumer, id, reason = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local began, sure, in_hand = tonumber(ARGV[5]), ARGV[6] == '1', ARGV[7] == '1'
local in_hand_of_others = ARGV[7] == 'by hand'
local is_confirmed, hold = ARGV[8] == 'confirm', ARGV[9]
local state, counted, is_given_back = holder(stream, group, consumer, id, sure, records, in_hand)
if state == 'no_group' then return redis.error_reply('NOGROUP no group ' .. group .. ' on ' .. stream) end
local has_no_row = state ~= 'held' and state ~= 'not_held'
if has_no_row and is_buried(stream, dead, group, id) then return 1 end
if state == 'deleted' then return note_gone(stream, records, group, id) and -1 or -2 end
if state == 'not_held' then return 0 end
if state ~= 'held' and state ~= 'dropped' then return -2 end
local is_otherwise = state == 'dropped' or is_given_back or was_let_go(records, group, id, hold)
if is_otherwise and not is_confirmed then return redis.status_reply('again') end
local deliveries = math.max(counted, began)
local entry = redis.call('XRANGE', stream, id, id)[1]
if entry then
  local fields, ours = split(entry[2])
  local seconds = redis.call('TIME')[1]
  if #fields > 7000 then
    local data = facts(entry[2])['data']
    reason = string.format('%s (%d other fields were left out)', reason, #fields / 2 - (data and 1 or 0))
    fields = data and {'data', data} or {}
  end
  for _, word in ipairs({
    'abe:reason', reason, 'abe:stream', stream, 'abe:group', group, 'abe:id', ours['abe:first'] or id,
    'abe:deliveries', deliveries, 'abe:consumer', consumer, 'abe:at', seconds,
  }) do fields[#fields + 1] = word end
  if ours['abe:first'] then fields[#fields + 1], fields[#fields + 2] = 'abe:entry', id end
  for i = 10, #ARGV do fields[#fields + 1] = ARGV[i] end
  redis.call('XADD', dead, '*', unpack(fields))
end
note_let_go(records, group, id, hold)
if in_hand_of_others then note_given_up(records, group, {id}, {consumer}) end
redis.call('XACK', stream, group, id)
note_given(records, group, id)
write_given()
note_settled(pending, {id})
not_due(due, id)
if entry then return 1 end
return note_gone(stream, records, group, id) and -1 or -2
