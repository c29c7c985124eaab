-- Renews the leases of entries that a consumer holds.
--
-- KEYS  per stream: the stream, the sorted set of postponed entries
-- ARGV  group, consumer, 1 if the consumer may take back only what is pending under its name (else 0); per
--       entry: the number of its stream, its id
-- Answers which entries it does not hold: see `each_held`.

-- include: each_held
local group, consumer, by_name, first_entry = ARGV[1], ARGV[2], ARGV[3] == '1', 4
return each_held(group, consumer, first_entry, function(stream, id)
  redis.call('XCLAIM', stream, group, consumer, 0, id, 'IDLE', 0, 'JUSTID')
end, by_name)
