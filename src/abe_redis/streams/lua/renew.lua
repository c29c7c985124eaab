-- Renews the leases of entries that a consumer holds, or looks whose they are.
--
-- KEYS  per stream: the stream, its records
-- ARGV  group, consumer, `renew` (what somebody released is not its own any more), or to look only `own` (its
--       own is what is pending under its name) or `settle` (so is what was put back for it, and what somebody
--       released); per entry: the number of its stream, its id
-- Answers the place, counted from 0, of each entry that is not its own, and its relation to the consumer: see
-- `holder`; or `lost`, and counts it as that, when it is to be renewed and the stream does not have it.

-- include: holder
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
  if state == 'held' and how == 'renew' then
    local kept = redis.call('XCLAIM', stream, group, consumer, 0, id, 'IDLE', 0, 'JUSTID')
    if #kept == 0 then state = note_gone(stream, records, group, id) and 'lost' or 'unknown' end
  end
  if state ~= 'held' then answers[#answers + 1] = {place, state} end
  place = place + 1
end
return answers
