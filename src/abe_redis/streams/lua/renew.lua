-- Renews the leases of entries that a consumer holds.
--
-- KEYS  per stream: the stream, the sorted set of postponed entries
-- ARGV  group, consumer; per entry: the number of its stream, its id
-- Answers which entries it does not hold: see `each_held`.

-- include: each_held
local group, consumer, first_entry = ARGV[1], ARGV[2], 3
return each_held(group, consumer, first_entry, function(stream, id)
  redis.call('XCLAIM', stream, group, consumer, 0, id, 'IDLE', 0, 'JUSTID')
end)
