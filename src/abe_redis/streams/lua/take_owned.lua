-- Leases entries that the group was not given yet, as `take_more` does, but only from streams whose owner
-- has every entry that the group was given. It notes what it gives, in case the answer is lost: see `load`.
--
-- KEYS  per stream: the stream, its records, the sorted set of postponed entries, the key that names its
--       owner
-- ARGV  group, consumer, how many entries to take at most, the owner's token;
--       per stream: how many of it at most, the last id that the owner had of it (or '')
-- Answers the names and values of what `take_more` answers, and of: behind, streams of which the group was
-- given something that the owner does not know; disowned, streams that belong to another owner.

-- include: read_new
-- include: flat_entries
local group, consumer, most, token = ARGV[1], ARGV[2], tonumber(ARGV[3]), ARGV[4]
local portion = 5
local looked, failure = 0, nil
local behind, disowned = {}, {}

-- Whether the owner may read a stream; if not, notes why.
local function may_read(stream, owner, last)
  if redis.call('GET', owner) ~= token then
    disowned[#disowned + 1] = stream
    return false
  end
  local of = group_of(stream, group)
  if not of or of['last-delivered-id'] == last then return true end
  behind[#behind + 1] = stream
  return false
end

for i = 1, #KEYS, 4 do
  if taken >= most then break end
  local stream, records, due, owner = KEYS[i], KEYS[i + 1], KEYS[i + 2], KEYS[i + 3]
  local most_of_stream, last = ARGV[portion], ARGV[portion + 1]
  portion = portion + 2
  if may_read(stream, owner, last) then
    local count = math.min(most_of_stream, most - taken)
    failure = read_new(stream, records, due, 4, group, consumer, count, last)
    if failure then break end
    local read = found[#found]
    if read and read[1] == stream then
      local entries = read[2]
      redis.pcall('HSET', records, 'read ' .. group, last .. ' ' .. entries[#entries][1] .. ' ' .. consumer)
    end
  end
  looked = looked + 1
end
return {
  'found', flat_entries(found), 'losses', losses, 'looked', looked, 'behind', behind, 'disowned', disowned,
  'failure', failure or false,
}
