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
-- A group that stands beyond the end of its stream is set back before: see `beyond_end`. And if somebody has
-- replaced the stream, the records of the former one do not count: see `replaced`.
--
-- All consumers of a group record it, each about once a second. One alone would do: so `used` says in ms when
-- one did, and the others leave a stream out for a while. It says so in seconds where memory was full: then
-- each consumer has to find out.
--
-- KEYS  per stream: the stream, its records, the sorted set of postponed entries, consumers' records of their
--       leases, what the group has pending
-- ARGV  group, for how many ms a record of another consumer is recent, the consumer that records it
-- Answers per stream: how many entries are newly found to be removed before the group had finished them;
-- how many the group has not finished (-1: another consumer has recorded it recently, so it was left out);
-- 1 if the server has no memory left (else 0); the length of the stream (-1: it was left out, or the group
-- does not exist); how many entries it put back; the new and the former position of a group that it set back
-- (else ''); the trail of the group's records; how many of the removed entries are in the stream still: see
-- `vanished`; of a stream that is an older copy what `forget_replaced` answers (else ''); and the number by
-- which the consumer confirms that it has looked for what a person took from it (else ''): see `given_up`. If
-- the first streams have many groups or pending entries, it answers only for these.

-- include: beyond_end
-- include: note_deleted
-- include: floor
-- include: progress
-- include: clock
-- include: given_up
-- include: vanished
-- include: list_pending
-- include: trail
local group, recent_ms, consumer = ARGV[1], tonumber(ARGV[2]), ARGV[3]
local answers, most_seen = {}, 300 -- groups, and pages of five pending entries
local least_ms = 400 -- from one list of what is pending to the next
local now = now_ms()

-- Whether another consumer has recorded the group recently, also if the clock was set back since.
local function is_recent_record(used)
  if recent_ms == 0 then return false end
  local at = string.match(used or '', '^%d+%.%d+$')
  return at ~= nil and math.abs(now - at * 1000) < recent_ms
end

-- Writes records, the last of which is the time in ms; answers 1 if the server has no memory left, else 0.
local function record(words)
  if type(redis.pcall(unpack(words))) == 'number' then return 0 end
  redis.call('HDEL', words[2], '')
  words[#words] = string.format('%.0f', math.floor(now / 1000))
  redis.call(unpack(words))
  return 1
end

-- Records a group, of whose records it is given the floor, the trail, what they say of the list, of removed
-- entries, and of skipped ones.
local function look(stream, records, due, leases, pending, recorded, trail, said, gone, skipped)
  local of = group_of(stream, group)
  if not of then return {0, 0, 0, -1, 0, '', trail, 0, ''} end
  local info = facts(redis.call('XINFO', 'STREAM', stream))
  local _, replaced_lost, is_void, replaced = floor_of(stream, records, group, info, recorded)
  if is_void then said, gone, skipped = false, false, false end
  local moved, as_it_is = set_back(stream, records, of, info)
  if moved ~= '' then of = as_it_is end
  local put_back, lost, unlisted = put_back_vanished(
    stream, records, due, leases, pending, group, now, nil, of, said, gone)
  if put_back > 0 then of = group_of(stream, group) end
  if put_back + lost > 0 then
    noted_fields[pending] = nil
    said, gone = unpack(redis.call('HMGET', records, 'known ' .. group, 'gone ' .. group))
  end
  lost = lost + replaced_lost + note_deleted(stream, records, of, info)
  local former = said and known_in(said)
  local is_listed = former and math.abs(now - former.at) < least_ms and given_since(former, of) >= 0
  local list = not is_listed and read_pending(stream, leases, group, of, now) or nil
  local floor, unfinished = progress_of(stream, of, info, list and list.oldest)
  local words = {'HSET', records, 'floor ' .. group, floor, 'last ' .. group, of['last-delivered-id']}
  local function add(what, value) words[#words + 1], words[#words + 2] = what .. group, value end
  if list then add('known ', list.said) end
  if list and aged(gone) then add('gone ', aged(gone)) end
  trail = longer_trail(trail, now)
  add('trail ', trail)
  add('used ', string.format('%.3f', now / 1000))
  local is_full = record(words)
  if list and not write_list(pending, list, former, now) then
    redis.call('HDEL', records, 'known ' .. group)
  end
  if list and skipped then redis.call('HDEL', records, 'skipped ' .. group) end
  if of['entries-read'] then
    redis.call(to_position('SETID', stream, group, of['last-delivered-id'], of['entries-read']))
  end
  return {lost, unfinished, is_full, info['length'], put_back, moved, trail, unlisted, replaced}
end

for i = 1, #KEYS, 5 do
  if groups_seen + listed / 5 >= most_seen then break end
  local stream, records, due, leases, pending = unpack(KEYS, i, i + 4)
  local used, floor, trail, said, gone, taken, skipped = unpack(redis.call('HMGET', records, 'used ' .. group,
    'floor ' .. group, 'trail ' .. group, 'known ' .. group, 'gone ' .. group, 'taken ' .. group,
    'skipped ' .. group))
  local answer = is_recent_record(used) and {0, -1, 0, -1, 0, '', trail or '', 0, ''}
    or look(stream, records, due, leases, pending, floor, trail or '', said, gone, skipped)
  answer[#answer + 1] = last_given_up(taken, consumer)
  answers[#answers + 1] = answer
end
return answers
