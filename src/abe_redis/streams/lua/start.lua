-- Counts a delivery that is about to begin, for the owner of the stream.
--
-- KEYS  the stream, the key that names its owner, the sorted set of what is postponed
-- ARGV  group, consumer, the owner's token, the entry's id, the number of deliveries with this one
-- Answers `started`; `disowned` when somebody else owns the stream; `gone` when the consumer does not hold
-- the entry.

local stream, owner, due = KEYS[1], KEYS[2], KEYS[3]
local group, consumer, token, id, deliveries = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5]
if redis.call('GET', owner) ~= token then return redis.status_reply('disowned') end
local rows = redis.pcall('XPENDING', stream, group, id, id, 1, consumer)
if rows.err or not rows[1] then return redis.status_reply('gone') end
redis.call('XCLAIM', stream, group, consumer, 0, id, 'RETRYCOUNT', deliveries, 'JUSTID')
redis.call('ZREM', due, id)
return redis.status_reply('started')
