-- Deletes what a consumer that ends has recorded about its leases and the events it holds, and records that
-- it has left, so that it does not count as alive for another lease.
--
-- While an event that it has postponed is pending under its name, the record of its leases stays: it tells
-- the consumer from those of other programs (see `vanished`). `forget_consumers` deletes it.
--
-- KEYS  per stream: the stream, consumers' records of their leases and of their events
-- ARGV  group, consumer
-- Answers OK.

-- include: is_absent
local group, consumer = ARGV[1], ARGV[2]
for i = 1, #KEYS, 3 do
  local stream, leases, held = KEYS[i], KEYS[i + 1], KEYS[i + 2]
  local pending = redis.pcall('XPENDING', stream, group, '-', '+', 1, consumer)
  local is_gone = is_absent(pending, 'XPENDING')
  if is_gone or #pending == 0 then redis.call('HDEL', leases, consumer) end
  redis.call('HDEL', held, consumer)
  if not is_gone then
    redis.pcall('HSET', held, consumer, 'left') -- a server without memory may refuse it
    redis.call('PEXPIRE', held, 7 * 24 * 3600 * 1000)
  end
end
return redis.status_reply('OK')
