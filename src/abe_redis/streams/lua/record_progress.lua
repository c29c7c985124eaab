-- Records up to where a group has finished each stream, for the day either is deleted: see `floor`.
--
-- How many entries the group has been given is written anew: after a read that waited, Redis 7.0 itself tells
-- it neither the append-only file nor replicas.
--
-- What is recorded has always the same size, so it is written also when memory is full: after a write that
-- frees something, a script may go on. So what tells whether memory is full comes first.
--
-- KEYS  per stream: the stream, its records
-- ARGV  group
-- Answers per stream: how many entries were removed before the group had finished them, as far as is news;
-- how many it has yet to finish; and 1 if the server has no memory left (else 0). Where the first streams
-- have many groups, it answers for these alone.

-- include: note_deleted
-- include: progress
local group = ARGV[1]
local answers, most_groups = {}, 300

-- Writes what is recorded; answers 1 if the server has no memory left, else 0.
local function record(records, floor, last)
  local words = {
    'HSET', records, 'floor ' .. group, floor, 'last ' .. group, last,
    'used ' .. group, redis.call('TIME')[1],
  }
  local written = redis.pcall(unpack(words))
  if type(written) == 'number' then return 0 end
  redis.call('HDEL', records, '')
  redis.call(unpack(words))
  return 1
end

for i = 1, #KEYS, 2 do
  if groups_seen >= most_groups then break end
  local stream, records = KEYS[i], KEYS[i + 1]
  local of, lost, unfinished, is_full = group_of(stream, group), 0, 0, 0
  if of then
    local info = facts(redis.call('XINFO', 'STREAM', stream))
    lost = note_deleted(stream, records, of, info)
    local facts_then
    facts_then, unfinished = progress_of(stream, of, info)
    is_full = record(records, facts_then, of['last-delivered-id'])
    if of['entries-read'] then
      redis.call(to_position('SETID', stream, group, of['last-delivered-id'], of['entries-read']))
    end
  end
  answers[#answers + 1] = {lost, unfinished, is_full}
end
return answers
