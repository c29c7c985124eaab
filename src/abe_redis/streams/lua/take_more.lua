-- Leases entries that the group was not given yet, from the first streams first, without waiting.
--
-- One command reads all the streams that certainly can give their portions. It reads none of them if one was
-- deleted or replaced; then each is read by itself, up to that one.
--
-- KEYS  per stream: the stream, its records, the sorted set of postponed entries
-- ARGV  group, consumer, how many entries to take at most, 1 if handlers begin with them at once (else 0),
--       1 to answer positions (else 0); per stream: how many of it at most, the last id that the consumer
--       had of it (or '')
-- Answers the names and values of: found, the entries as `flat_entries` has them; losses, streams and how
-- many entries of each were removed unread; looked, how many streams were read; positions, if wanted,
-- streams and the last id that the group was given of each; failure, the error that ended the reading, if
-- any.

-- include: read_new
-- include: flat_entries
local group, consumer, most = ARGV[1], ARGV[2], tonumber(ARGV[3])
local begun, wants_positions = ARGV[4] == '1', ARGV[5] == '1'
local looked, positions, failure = 0, {}, nil

-- Where the portion of the stream with this key is among the arguments.
local function portion(i)
  return 6 + (i - 1) / 3 * 2
end

-- The key of the last stream of those from this one on that certainly can give their portions, all alike.
local function last_with(i, left)
  local said, last = ARGV[portion(i)], i
  for _ = 2, math.floor(left / said) do
    if ARGV[portion(last + 3)] ~= said then break end
    last = last + 3
  end
  return last
end

-- Reads the streams of these keys, up to `count` entries of each.
local function read_together(first, last, count)
  local words, place, of = {'XREADGROUP', 'GROUP', group, consumer, 'COUNT', count, 'STREAMS'}, {}, {}
  for i = first, last, 3 do
    words[#words + 1], place[KEYS[i]] = KEYS[i], i
    of[i] = look(KEYS[i], KEYS[i + 1], group, ARGV[portion(i) + 1])
    if wants_positions then positions[KEYS[i]] = of[i] and of[i]['last-delivered-id'] or '0-0' end
  end
  for _ = first, last, 3 do words[#words + 1] = '>' end
  local reply = redis.pcall(unpack(words))
  if reply and reply.err then
    for i = first, last, 3 do
      failure = read_one(KEYS[i], KEYS[i + 1], KEYS[i + 2], 3, group, consumer, count, of[i], begun)
      if failure then return end
      looked = looked + 1
    end
    return
  end
  for _, read in ipairs(reply or {}) do
    local i = place[read[1]]
    lease(read, KEYS[i + 1], KEYS[i + 2], 3, group, consumer, of[i], begun)
  end
  looked = looked + (last - first) / 3 + 1
end

local i = 1
while i <= #KEYS and taken < most and not failure do
  local left = most - taken
  local last = last_with(i, left)
  read_together(i, last, math.min(ARGV[portion(i)], left))
  i = last + 3
end

local places = {}
for _, read in ipairs(wants_positions and found or {}) do positions[read[1]] = read[2][#read[2]][1] end
for stream, position in pairs(positions) do
  places[#places + 1] = stream
  places[#places + 1] = position
end
return {
  'found', flat_entries(found), 'losses', losses, 'looked', looked, 'positions', places,
  'failure', failure or false,
}
