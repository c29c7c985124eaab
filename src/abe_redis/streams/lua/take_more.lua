-- Leases entries that the group was not given yet, from the first streams first, without waiting.
--
-- KEYS  per stream: the stream, its records, the sorted set of postponed entries
-- ARGV  group, consumer, how many entries to take at most, 1 if handlers begin with them at once (else 0);
--       per stream: how many of it at most, the last id that the consumer had of it (or '')
-- Answers the names and values of: found, per stream its entries; losses, streams and how many entries of
-- each were removed unread; looked, how many streams were read; positions, streams and the last id that the
-- group was given of each; failure, the error that ended the reading, if any.

-- include: read_new
local group, consumer, most = ARGV[1], ARGV[2], tonumber(ARGV[3])
local begun, portion = ARGV[4] == '1', 5
local looked, failure = 0, nil

for i = 1, #KEYS, 3 do
  if taken >= most then break end
  local stream, records, due = KEYS[i], KEYS[i + 1], KEYS[i + 2]
  local most_of_stream, last = ARGV[portion], ARGV[portion + 1]
  portion = portion + 2
  local count = math.min(most_of_stream, most - taken)
  failure = read_new(stream, records, due, 3, group, consumer, count, last, begun)
  if failure then break end
  looked = looked + 1
end
return {
  'found', found, 'losses', losses, 'looked', looked, 'positions', positions, 'failure', failure or false,
}
