-- Gives an entry back that a consumer holds: at once, or to be taken up again after a delay.
--
-- TIME 0 dates it to the epoch, so that whoever looks next takes it. The set of what is postponed lives as
-- long as the longest delay may last, so that nothing is left of a deleted stream.
--
-- KEYS  the stream, the sorted set of what is postponed
-- ARGV  group, consumer, the entry's id, the delay in ms (0: none), for how many ms the set is kept,
--       how many deliveries are not counted
-- Answers 1; 0, and changes nothing, when the consumer does not hold the entry.
-- flags: allow-oom

-- include: clock
local stream, due = KEYS[1], KEYS[2]
local group, consumer, id, delay_ms = ARGV[1], ARGV[2], ARGV[3], tonumber(ARGV[4])
local keep_ms, uncounted = ARGV[5], ARGV[6]
local rows = redis.pcall('XPENDING', stream, group, id, id, 1, consumer)
local row = not rows.err and rows[1]
if not row then return 0 end
local deliveries = math.max(0, row[4] - uncounted)
if delay_ms > 0 then
  redis.call('ZADD', due, now_ms() + delay_ms, id)
  redis.call('PEXPIRE', due, keep_ms)
  redis.call('XCLAIM', stream, group, consumer, 0, id, 'IDLE', 0, 'RETRYCOUNT', deliveries, 'JUSTID')
else
  redis.call('XCLAIM', stream, group, consumer, 0, id, 'TIME', 0, 'RETRYCOUNT', deliveries, 'JUSTID')
end
return 1
