-- Forgets what a consumer that ends said of its leases.
--
-- KEYS  per stream, what consumers said of their leases
-- ARGV  consumer
-- Answers OK.

for _, leases in ipairs(KEYS) do redis.call('HDEL', leases, ARGV[1]) end
return redis.status_reply('OK')
