-- Takes back the count of deliveries that have not begun: a blocking read gave a consumer these entries.
--
-- KEYS  streams
-- ARGV  group, consumer; per entry: the number of its stream in KEYS, its id
-- Answers how many of them the consumer still holds.

-- include: is_gone
local group, consumer, held = ARGV[1], ARGV[2], 0
for i = 3, #ARGV, 2 do
  local stream, id = KEYS[tonumber(ARGV[i])], ARGV[i + 1]
  local rows = redis.pcall('XPENDING', stream, group, id, id, 1, consumer)
  if not is_gone(rows, 'XPENDING') and rows[1] then
    redis.call('XCLAIM', stream, group, consumer, 0, id, 'IDLE', 0, 'RETRYCOUNT', 0, 'JUSTID')
    held = held + 1
  end
end
return held
