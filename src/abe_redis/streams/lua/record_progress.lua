-- Records up to where a group has finished each stream, in case the group or the stream is deleted: see
-- `floor`.
--
-- The number of entries that the group was given is written again: after a blocking read, Redis before 7.4
-- tells it neither the append-only file nor replicas.
--
-- The record always has the same size, so it is written even when memory is full: after a write that frees
-- memory, a script may continue. So the step that tells whether memory is full comes first.
--
-- What is pending is listed, too; first, what vanished with a consumer is put back: see `vanished`.
--
-- KEYS  per stream: the stream, its records, the sorted set of postponed entries, consumers' records of their
--       leases, what the group has pending
-- ARGV  group
-- Answers per stream: how many entries are newly found to be removed before the group had finished them;
-- how many the group has not finished; 1 if the server has no memory left (else 0); the length of the stream
-- (-1: the group does not exist); and how many entries it put back. If the first streams have many groups or
-- pending entries, it answers only for these.

-- include: note_deleted
-- include: progress
-- include: clock
-- include: vanished
-- include: list_pending
local group = ARGV[1]
local answers, most_seen = {}, 300 -- groups, and pages of five pending entries
local seconds = redis.call('TIME')[1]

-- Writes the record; answers 1 if the server has no memory left, else 0.
local function record(records, floor, last)
  local words = {
    'HSET', records, 'floor ' .. group, floor, 'last ' .. group, last,
    'used ' .. group, seconds,
  }
  local written = redis.pcall(unpack(words))
  if type(written) == 'number' then return 0 end
  redis.call('HDEL', records, '')
  redis.call(unpack(words))
  return 1
end

for i = 1, #KEYS, 5 do
  if groups_seen + listed / 5 >= most_seen then break end
  local stream, records, due, leases, pending = unpack(KEYS, i, i + 4)
  local of, lost, unfinished, is_full, length = group_of(stream, group), 0, 0, 0, -1
  local put_back = 0
  if of then
    local gone
    put_back, gone = put_back_vanished(stream, records, due, leases, pending, group, false, of)
    if put_back > 0 then of = group_of(stream, group) end
    local info = facts(redis.call('XINFO', 'STREAM', stream))
    lost, length = note_deleted(stream, records, of, info), info['length']
    local facts_then
    facts_then, unfinished = progress_of(stream, of, info)
    is_full = record(records, facts_then, of['last-delivered-id'])
    lost = lost + gone
    if is_full == 0 then
      list_pending(stream, records, leases, pending, group, of, now_ms())
    else
      give_up_list(records, pending, group)
    end
    if of['entries-read'] then
      redis.call(to_position('SETID', stream, group, of['last-delivered-id'], of['entries-read']))
    end
  end
  answers[#answers + 1] = {lost, unfinished, is_full, length, put_back}
end
return answers
