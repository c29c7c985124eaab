-- Renews the leases of entries that a consumer holds.
--
-- KEYS  per stream: the stream, its records
-- ARGV  group, consumer, 1 if the consumer may take back only what is pending under its name, and not what is
--       nobody's (else 0); per entry: the number of its stream, its id
-- Answers the place, counted from 0, of each entry that it does not hold, and its relation to the consumer:
-- see `holder`.

-- include: holder
-- include: given
local group, consumer, by_name = ARGV[1], ARGV[2], ARGV[3] == '1'
local answers, place = {}, 0
for i = 4, #ARGV, 2 do
  local at, id = 2 * tonumber(ARGV[i]) - 1, ARGV[i + 1]
  local stream, records = KEYS[at], KEYS[at + 1]
  local state, _, is_given_back = holder(stream, group, consumer, id, false)
  if state == 'held' and by_name and #redis.call('XPENDING', stream, group, id, id, 1, consumer) == 0 then
    state = 'not_held'
  end
  if state == 'held' then
    redis.call('XCLAIM', stream, group, consumer, 0, id, 'IDLE', 0, 'JUSTID')
    if is_given_back then note_given(records, group, id) end
  else
    answers[#answers + 1] = {place, state}
  end
  place = place + 1
end
write_given()
return answers
