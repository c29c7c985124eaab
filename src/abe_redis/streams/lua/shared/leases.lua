-- The lease duration of each consumer of a group, as the consumer has recorded it.
--
-- `key` is a hash: per consumer, its lease in ms, and the time of the record in ms. It expires after 90 days
-- without a record, so that nothing is left of a removed group, and as late as the list of what is pending
-- (see `list_pending`), which says nothing without it.

-- Records how long a consumer's leases last, at most once per lease. A server without memory takes it, too,
-- since a script that has written something may go on: a consumer without a record seems to be another
-- program's (see `vanished`).
local function say_lease(key, consumer, lease_ms, now)
  local said_ms, said_at = string.match(redis.call('HGET', key, consumer) or '', '^(%d+) (%d+)$')
  if tonumber(said_ms) == lease_ms and math.abs(now - said_at) < math.max(lease_ms, 1000) then return end
  local record = string.format('%.0f %.0f', lease_ms, now)
  if type(redis.pcall('HSET', key, consumer, record)) ~= 'number' then
    redis.pcall('HDEL', key, '') -- who may not write it goes on without
    redis.pcall('HSET', key, consumer, record)
  end
  redis.call('PEXPIRE', key, 90 * 24 * 3600 * 1000)
end

-- The record of each consumer, and the lease in ms of one without a record. That lease may be as long as
-- the longest of the others, or as `own_ms`, the lease of the caller.
local function leases_of(key, own_ms)
  local said, longest, flat = {}, own_ms, redis.call('HGETALL', key)
  for i = 1, #flat, 2 do
    local ms, at = string.match(flat[i + 1], '^(%d+) (%d+)$')
    said[flat[i]] = {ms = tonumber(ms), at = tonumber(at)}
    longest = math.max(longest, ms)
  end
  return said, longest
end

-- The lease of a consumer in ms.
local function lease_of(consumer, said, longest)
  return said[consumer] and said[consumer].ms or longest
end
