-- Takes back the count of entries that a consumer got from a blocking read and has not begun.
--
-- The consumer continues during this call. If a handler has begun the entry and failed by then, the entry
-- is postponed or has a higher count, and keeps its count.
--
-- KEYS  per stream: the stream, the sorted set of postponed entries
-- ARGV  group, consumer; per entry: the number of its stream, its id
-- Answers how many of them the consumer still holds.

-- include: is_absent
local group, consumer, held = ARGV[1], ARGV[2], 0
for i = 3, #ARGV, 2 do
  local at, id = 2 * tonumber(ARGV[i]) - 1, ARGV[i + 1]
  local stream, due = KEYS[at], KEYS[at + 1]
  local rows = redis.pcall('XPENDING', stream, group, id, id, 1, consumer)
  if not is_absent(rows, 'XPENDING') and rows[1] then
    local deliveries = rows[1][4]
    if deliveries == 1 and not redis.call('ZSCORE', due, id) then
      redis.call('XCLAIM', stream, group, consumer, 0, id, 'IDLE', 0, 'RETRYCOUNT', 0, 'JUSTID')
    end
    held = held + 1
  end
end
return held
