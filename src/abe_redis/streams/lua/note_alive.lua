-- Gives a sign of life of a consumer, in groups in which it may be waiting.
--
-- The sign is a read of the consumer's own pending entries behind every possible id. It answers nothing and
-- changes no entry; but every server notes it as the consumer's last command, and makes the consumer if the
-- group lacks it. Of a read that waits in vain, only Redis since 7.2 and Valkey note that.
--
-- KEYS  per stream: the stream, consumers' records of their leases and of their events
-- ARGV  group, consumer, its lease in ms
-- Answers OK.

-- include: clock
-- include: is_absent
-- include: leases
local group, consumer, lease_ms = ARGV[1], ARGV[2], tonumber(ARGV[3])
local now, behind_all = now_ms(), '18446744073709551615-0'
for i = 1, #KEYS, 3 do
  local stream, leases, held = KEYS[i], KEYS[i + 1], KEYS[i + 2]
  local read = redis.pcall('XREADGROUP', 'GROUP', group, consumer, 'COUNT', 1, 'STREAMS', stream, behind_all)
  if not is_absent(read, 'XREADGROUP') then
    say_lease(leases, consumer, lease_ms, now) -- else it seems to be another program's (see `vanished`)
    if redis.pcall('HGET', held, consumer) == 'left' then redis.call('HDEL', held, consumer) end
    redis.call('HDEL', held, 'abe:person ' .. consumer) -- a worker, from now on
  end
end
return redis.status_reply('OK')
