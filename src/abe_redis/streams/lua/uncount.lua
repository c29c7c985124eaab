-- Takes back the count of entries that a consumer got from a blocking read and has not begun.
--
-- The consumer continues during this call. If a handler has begun the entry and failed by then, the entry
-- is postponed or has a higher count, and keeps its count.
--
-- The read recorded nothing. Up to where the group was given the entries is recorded now.
--
-- KEYS  per stream: the stream, its records, the sorted set of postponed entries
-- ARGV  group, consumer; per entry: the number of its stream, its id
-- Answers how many of them the consumer still holds.

-- include: is_absent
-- include: reached
local group, consumer, held = ARGV[1], ARGV[2], 0
local furthest = {} -- per records

local function furthest_of(one, other)
  return one and before(other, one) and one or other
end

for i = 3, #ARGV, 2 do
  local at, id = 3 * tonumber(ARGV[i]) - 2, ARGV[i + 1]
  local stream, records, due = KEYS[at], KEYS[at + 1], KEYS[at + 2]
  local rows = redis.pcall('XPENDING', stream, group, id, id, 1, consumer)
  if not is_absent(rows, 'XPENDING') and rows[1] then
    local deliveries = rows[1][4]
    if deliveries == 1 and not redis.call('ZSCORE', due, id) then
      redis.call('XCLAIM', stream, group, consumer, 0, id, 'IDLE', 0, 'RETRYCOUNT', 0, 'JUSTID')
    end
    held, furthest[records] = held + 1, furthest_of(furthest[records], id)
  end
end
for records, id in pairs(furthest) do note_reached(records, group, id) end
return held
