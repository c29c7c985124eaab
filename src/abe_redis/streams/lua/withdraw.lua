-- Forgets what a consumer that ends said of its leases, and of what it holds.
--
-- KEYS  per stream: what consumers said of their leases, and of what they hold
-- ARGV  consumer
-- Answers OK.

for _, said in ipairs(KEYS) do redis.call('HDEL', said, ARGV[1]) end
return redis.status_reply('OK')
