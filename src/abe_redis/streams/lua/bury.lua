-- Moves an entry that a consumer holds to the dead letters, and acks it.
--
-- The original fields stay as they are, whatever they hold; what we say about them stands beside. Of one
-- that was redriven before, only the id it had at first is still of interest. Lua cannot pass on more than
-- about 8,000 values.
--
-- KEYS  the stream, its dead letters
-- ARGV  group, consumer, the entry's id, the reason; then names and values of what is kept beside it
-- Answers 1; 0, and changes nothing, when the consumer does not hold the entry.

-- include: facts
-- include: split
local stream, dead = KEYS[1], KEYS[2]
local group, consumer, id, reason = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local row = redis.call('XPENDING', stream, group, id, id, 1, consumer)[1]
if not row then return 0 end
local deliveries = row[4]
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
  for i = 5, #ARGV do fields[#fields + 1] = ARGV[i] end
  redis.call('XADD', dead, '*', unpack(fields))
end
redis.call('XACK', stream, group, id)
return 1
