-- Renews the leases of a consumer's entries in flight, puts back dropped entries, and makes sure that every
-- begun delivery is counted.
--
-- The position of the group is recorded, too, in case somebody removes the group.
--
-- KEYS  per stream: the stream, its records, the sorted set of postponed entries, consumers' records of their
--       leases, what the group has pending
-- ARGV  group, consumer, `start` (handlers have the entries, or get them now, so none is postponed) or
--       `renew`; `ask` or `confirm`: see `again`; per entry: the number of its stream, its id, the number of
--       its begun deliveries, 1 if its lease certainly lasts (else 0), the stage of its handler: 0 if it has
--       not begun, 1 if it has ended (then the entry may be settled already, and is not put back), 2 if it is
--       running
-- Answers for each entry that was not pending under its consumer: its place, counted from 0, and its
-- relation to the consumer: see `holder`, or `again`. A `dropped` entry is put back. A `deleted` entry
-- without a handler is `lost`, and counted as lost. One that no handler has begun, and that is new to a group
-- that was made again, is `unknown`: whoever reads next is given it.

-- include: holder
-- include: again
-- include: given
-- include: settled
-- include: not_due
-- include: reached
local group, consumer, is_start, is_confirmed = ARGV[1], ARGV[2], ARGV[3] == 'start', ARGV[4] == 'confirm'
local answers, place = {}, 0
local begun = {} -- per stream, by what the group has pending: ids, each with its begun deliveries

-- Whether the group has yet to be given an entry.
local function is_to_be_given(stream, id)
  local of = group_of(stream, group)
  return of ~= nil and before(of['last-delivered-id'], id)
end

for i = 5, #ARGV, 5 do
  local at, id, deliveries, sure = 5 * tonumber(ARGV[i]) - 4, ARGV[i + 1], tonumber(ARGV[i + 2]), ARGV[i + 3]
  local stream, records, due, pending = KEYS[at], KEYS[at + 1], KEYS[at + 2], KEYS[at + 4]
  local in_hand, is_at_work = ARGV[i + 4] ~= '1', ARGV[i + 4] == '2'
  local state, counted, is_given_back = holder(stream, group, consumer, id, sure == '1', records, in_hand)
  local has_begun = ARGV[i + 4] ~= '0' -- what its handler does must not be done a second time beside it
  if state == 'dropped' and (not in_hand or not has_begun and is_to_be_given(stream, id)) then
    state = 'unknown'
  end
  if is_given_back and not has_begun and is_given_up(records, group, consumer, id) then state = 'given_up' end
  local is_postponed = (is_start or is_at_work) and state == 'held' and redis.call('ZSCORE', due, id)
  local is_otherwise = state ~= 'given_up' and in_hand
    and (state == 'dropped' or is_given_back or is_postponed)
  if is_otherwise and not is_confirmed then state = 'again' end
  if state == 'held' or state == 'dropped' then
    local force = state == 'dropped' and 'FORCE' or 'JUSTID' -- a repeated word does no harm
    local whose, dated = consumer, 'IDLE'
    if is_given_back and not in_hand then -- and nobody's it stays
      whose, dated = nobody, 'TIME'
    elseif is_given_back then
      note_given(records, group, id)
    end
    local kept = redis.call('XCLAIM', stream, group, whose, 0, id,
      dated, 0, 'RETRYCOUNT', math.max(counted, deliveries), 'JUSTID', force)
    if #kept == 0 then
      state = 'deleted'
    elseif state == 'dropped' then
      note_back(records, group, id, math.max(counted, deliveries))
    end
    if is_postponed then not_due(due, id) end
    if is_start then
      note_reached(records, group, id)
      begun[pending] = begun[pending] or {}
      table.insert(begun[pending], string.format('%s %.0f', id, math.max(counted, deliveries)))
    end
  end
  if state == 'deleted' and not has_begun and note_gone(stream, records, group, id) then
    state = 'lost'
    not_due(due, id)
  end
  if state ~= 'held' then answers[#answers + 1] = {place, state} end
  place = place + 1
end
for pending, ids in pairs(begun) do note_settled(pending, ids, '=') end
write_given()
return answers
