-- Gives an entry back that a consumer holds: at once, or to be taken up again after a delay.
--
-- TIME 0 dates it to the epoch, so that whoever looks next takes it. The set of what is postponed lives as
-- long as the longest delay may last, so that nothing is left of a deleted stream.
--
-- KEYS  the stream, the sorted set of what is postponed
-- ARGV  group, consumer, the entry's id, the delay in ms (0: none), for how many ms the set is kept,
--       how many deliveries are not counted, how many of its deliveries handlers began at least, 1 if its
--       lease cannot be over (else 0)
-- Answers 1; 0, and changes nothing, when the consumer does not hold the entry; or an error when there is
-- no such group though a handler began with it.
-- flags: allow-oom

-- include: clock
-- include: holder
local stream, due = KEYS[1], KEYS[2]
local group, consumer, id, delay_ms = ARGV[1], ARGV[2], ARGV[3], tonumber(ARGV[4])
local keep_ms, uncounted, began, sure = ARGV[5], ARGV[6], tonumber(ARGV[7]), ARGV[8] == '1'
local state, counted = holder(stream, group, consumer, id, sure)
if state == 'no_group' and began > 0 then
  return redis.error_reply('NOGROUP no group ' .. group .. ' on ' .. stream)
end
if state ~= 'held' and state ~= 'dropped' then return 0 end
local deliveries = math.max(0, counted - uncounted, began)
local dated = delay_ms > 0 and 'IDLE' or 'TIME'
local force = state == 'dropped' and 'FORCE' or 'JUSTID' -- a word twice does no harm
redis.call('XCLAIM', stream, group, consumer, 0, id, dated, 0, 'RETRYCOUNT', deliveries, 'JUSTID', force)
if delay_ms > 0 then
  redis.call('ZADD', due, now_ms() + delay_ms, id)
  redis.call('PEXPIRE', due, keep_ms)
else
  redis.call('ZREM', due, id)
end
return 1
