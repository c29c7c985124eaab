-- Renews the leases of entries that a consumer holds.
--
-- KEYS  per stream: the stream, its records
-- ARGV  group, consumer, `own` if the consumer may take back only what is pending under its name, `renew` if
--       it may also take back what was put back for it, or else `settle`: what somebody released, too; per
--       entry: the number of its stream, its id
-- Answers the place, counted from 0, of each entry that it does not hold, and its relation to the consumer:
-- see `holder`; or `lost`, and counts it as that, when the stream does not have the entry any more. What is
-- being settled is left to the command that follows: nothing is lost that is acked.

-- include: holder
-- include: given
-- include: note_gone
local group, consumer, how = ARGV[1], ARGV[2], ARGV[3]
local answers, place = {}, 0
for i = 4, #ARGV, 2 do
  local at, id = 2 * tonumber(ARGV[i]) - 1, ARGV[i + 1]
  local stream, records = KEYS[at], KEYS[at + 1]
  local state, _, is_given_back = holder(stream, group, consumer, id, false)
  local is_anothers = how == 'renew' and is_given_back
    or how == 'own' and #redis.call('XPENDING', stream, group, id, id, 1, consumer) == 0
  if state == 'held' and is_anothers then state = 'not_held' end
  local is_kept = how == 'renew' or #redis.call('XRANGE', stream, id, id) > 0
  if state == 'held' and is_kept then
    if is_given_back then note_given(records, group, id) end
    local kept = redis.call('XCLAIM', stream, group, consumer, 0, id, 'IDLE', 0, 'JUSTID')
    if #kept == 0 then state = note_gone(stream, records, group, id) and 'lost' or 'unknown' end
  end
  if state ~= 'held' then answers[#answers + 1] = {place, state} end
  place = place + 1
end
write_given()
return answers
