-- Sets a group back in the streams beyond whose end it stands: see `beyond_end`.
--
-- KEYS  per stream: the stream, its records
-- ARGV  group
-- Answers per stream the new and the former position of the group, or '' if it was well or does not exist;
-- and the trail of the group's records. If the first streams have many groups, it answers only for these.
-- flags: allow-oom

-- include: beyond_end
-- include: clock
local group, now = ARGV[1], now_ms()
local answers, most_seen = {}, 300 -- groups

for i = 1, #KEYS, 2 do
  if groups_seen >= most_seen then break end
  local stream, records, moved = KEYS[i], KEYS[i + 1], ''
  local of = group_of(stream, group)
  if of and is_to_come(of['last-delivered-id'], now) then
    moved = set_back(stream, records, of, facts(redis.call('XINFO', 'STREAM', stream)))
  end
  answers[#answers + 1] = {moved, redis.call('HGET', records, 'trail ' .. group) or ''}
end
return answers
