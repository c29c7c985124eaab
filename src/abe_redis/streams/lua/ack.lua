-- Acks entries that a consumer holds; what is finished is not due any more.
--
-- KEYS  per stream: the stream, the sorted set of what is postponed
-- ARGV  group, consumer; per entry: the number of its stream, its id
-- Answers which entries it does not hold: see `each_held`.

-- include: each_held
local group, consumer, first_entry = ARGV[1], ARGV[2], 3
local postponed = {} -- per stream, how many entries are
return each_held(group, consumer, first_entry, function(stream, id, due)
  redis.call('XACK', stream, group, id)
  postponed[due] = postponed[due] or redis.call('ZCARD', due)
  if postponed[due] > 0 then redis.call('ZREM', due, id) end
end)
