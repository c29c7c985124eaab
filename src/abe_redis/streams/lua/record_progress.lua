-- Records up to where a group has finished each stream, for the day either is deleted: see `floor`.
--
-- KEYS  per stream: the stream, its records
-- ARGV  group
-- Answers per stream: how many entries were removed before the group had finished them, as far as is news,
-- and how many it has yet to finish.

-- include: note_loss
local group = ARGV[1]
local answers = {}

for i = 1, #KEYS, 2 do
  local stream, records = KEYS[i], KEYS[i + 1]
  local of, lost, unfinished = group_of(stream, group), 0, 0
  if of then
    local info = facts(redis.call('XINFO', 'STREAM', stream))
    lost = note_loss(stream, records, of, info)
    unfinished = of['pending'] + math.max(0, of['lag'] or 0)
    local floor, added = of['last-delivered-id'], info['entries-added']
    if of['pending'] > 0 then floor = id_before(redis.call('XPENDING', stream, group)[2]) end
    redis.call('HSET', records, 'floor ' .. group, string.format('%s %.0f %.0f', floor, added, unfinished),
      'used ' .. group, redis.call('TIME')[1])
  end
  answers[#answers + 1] = {lost, unfinished}
end
return answers
