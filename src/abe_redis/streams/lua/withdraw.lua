-- Deletes what a consumer that ends has recorded about its leases and the events it holds.
--
-- KEYS  per stream: consumers' records of their leases and of their events
-- ARGV  consumer
-- Answers OK.

for _, said in ipairs(KEYS) do redis.call('HDEL', said, ARGV[1]) end
return redis.status_reply('OK')
