-- Writes streams into the index in which consumers find new ones, with the server's time in seconds. A
-- server replicates the effects of a script, not the script, so it may use its own clock. Consumers ask for
-- what is newer than what they know, so a time in the index never falls, even after the clock was set back.
--
-- KEYS  the index
-- ARGV  names of streams
-- Answers OK.
-- flags: allow-oom

local index = KEYS[1]
local seconds, microseconds = unpack(redis.call('TIME'))
local now = seconds + microseconds / 1000000
local newest = redis.call('ZRANGE', index, -1, -1, 'WITHSCORES')[2]
if newest then now = math.max(now, newest + 0.000001) end
for _, name in ipairs(ARGV) do redis.call('ZADD', index, now, name) end
return redis.status_reply('OK')
