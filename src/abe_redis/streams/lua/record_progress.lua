-- Records up to where a group has finished each stream, in case the group or the stream is deleted: see
-- `floor`.
--
-- The number of entries that the group was given is written again: after a blocking read, Redis before 7.4
-- tells it neither the append-only file nor replicas.
--
-- The record and the list replace earlier ones, so they are written even when memory is full: after a write
-- that frees memory, a script may continue. So the step that tells whether memory is full comes first.
--
-- What is pending is listed, too; first, what vanished with a consumer is put back: see `vanished`.
--
-- A group that stands beyond the end of its stream is set back before: see `beyond_end`.
--
-- All consumers of a group record it, each about once a second. One alone would do: so `used` says in ms when
-- one did, and the others leave a stream out for a while. It says so in seconds where memory was full: then
-- each consumer has to find out.
--
-- KEYS  per stream: the stream, its records, the sorted set of postponed entries, consumers' records of their
--       leases, what the group has pending
-- ARGV  group, for how many ms a record of another consumer is recent
-- Answers per stream: how many entries are newly found to be removed before the group had finished them;
-- how many the group has not finished (-1: another consumer has recorded it recently, so it was left out);
-- 1 if the server has no memory left (else 0); the length of the stream (-1: the group does not exist); how
-- many entries it put back; the new and the former position of a group that it set back (else ''); and the
-- trail of the group's records. If the first streams have many groups or pending entries, it answers only for
-- these.

-- include: beyond_end
-- include: note_deleted
-- include: progress
-- include: clock
-- include: vanished
-- include: list_pending
-- include: trail
local group, recent_ms = ARGV[1], tonumber(ARGV[2])
local answers, most_seen = {}, 300 -- groups, and pages of five pending entries
local now = now_ms()

-- Whether another consumer has recorded the group recently, also if the clock was set back since.
local function is_recent_record(records)
  if recent_ms == 0 then return false end
  local at = string.match(redis.call('HGET', records, 'used ' .. group) or '', '^%d+%.%d+$')
  return at ~= nil and math.abs(now - at * 1000) < recent_ms
end

-- Writes the record; answers 1 if the server has no memory left, else 0.
local function record(records, floor, last, trail)
  local words = {
    'HSET', records, 'floor ' .. group, floor, 'last ' .. group, last, 'trail ' .. group, trail,
    'used ' .. group, string.format('%.3f', now / 1000),
  }
  local written = redis.pcall(unpack(words))
  if type(written) == 'number' then return 0 end
  redis.call('HDEL', records, '')
  words[#words] = string.format('%.0f', math.floor(now / 1000))
  redis.call(unpack(words))
  return 1
end

for i = 1, #KEYS, 5 do
  if groups_seen + listed / 5 >= most_seen then break end
  local stream, records, due, leases, pending = unpack(KEYS, i, i + 4)
  local is_left_out = is_recent_record(records)
  local of = not is_left_out and group_of(stream, group)
  local lost, unfinished, is_full, length, put_back, moved = 0, 0, 0, -1, 0, ''
  local trail = trail_of(records, group)
  if is_left_out then
    length = redis.pcall('XLEN', stream)
    unfinished, length = -1, type(length) == 'number' and length or -1
  elseif of then
    local gone
    local info = facts(redis.call('XINFO', 'STREAM', stream))
    moved, of = set_back(stream, records, of, info)
    put_back, gone = put_back_vanished(stream, records, due, leases, pending, group, now, nil, of)
    if put_back > 0 then of = group_of(stream, group) end
    lost, length = note_deleted(stream, records, of, info), info['length']
    local facts_then
    facts_then, unfinished = progress_of(stream, of, info)
    trail = longer_trail(trail)
    is_full = record(records, facts_then, of['last-delivered-id'], trail)
    lost = lost + gone
    list_pending(stream, records, leases, pending, group, of, now)
    if of['entries-read'] then
      redis.call(to_position('SETID', stream, group, of['last-delivered-id'], of['entries-read']))
    end
  end
  answers[#answers + 1] = {lost, unfinished, is_full, length, put_back, moved, trail}
end
return answers
