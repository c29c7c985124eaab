-- Counts a delivery that is about to begin, for the owner of the stream.
--
-- KEYS  the stream, the key that names its owner, the sorted set of postponed entries, the stream's records,
--       what the group has pending
-- ARGV  group, consumer, the owner's token, the entry's id, the number of deliveries including this one, 1
--       if its lease certainly lasts (else 0), `ask` or `confirm`: see `again`
-- Answers `started`; `disowned` when another consumer owns the stream; `gone` when the consumer does not
-- hold the entry; `lost` when the stream no longer has it; `no_group` when the group does not exist; or
-- `again`.

-- include: holder
-- include: given
-- include: note_gone
-- include: again
-- include: settled
-- include: not_due
local stream, owner, due, records, pending = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local group, consumer, token, id = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local deliveries, sure, is_confirmed = tonumber(ARGV[5]), ARGV[6] == '1', ARGV[7] == 'confirm'
if redis.call('GET', owner) ~= token then return redis.status_reply('disowned') end
local state, counted, is_given_back = holder(stream, group, consumer, id, sure, records, true)
if state == 'no_group' then return redis.status_reply(state) end
if state == 'deleted' and note_gone(stream, records, group, id) then
  not_due(due, id)
  return redis.status_reply('lost')
end
local is_taken = is_given_back and is_given_up(records, group, consumer, id)
if is_taken or state ~= 'held' and state ~= 'dropped' then return redis.status_reply('gone') end
local is_late = counted >= deliveries and redis.call('ZSCORE', due, id) -- it began, and was postponed since
local is_otherwise = state == 'dropped' or is_given_back or is_late
if is_otherwise and not is_confirmed then return redis.status_reply('again') end
local force = state == 'dropped' and 'FORCE' or 'JUSTID' -- a repeated word does no harm
deliveries = math.max(counted, deliveries)
redis.call('XCLAIM', stream, group, consumer, 0, id, 'RETRYCOUNT', deliveries, 'JUSTID', force)
not_due(due, id)
if state == 'dropped' then note_back(records, group, id, deliveries) end
note_settled(pending, {string.format('%s %.0f', id, deliveries)}, '=')
if is_given_back then note_given(records, group, id) end
write_given()
return redis.status_reply('started')
