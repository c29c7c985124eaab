-- How long the leases of each consumer of a group last, as it said itself.
--
-- `key` is a hash: per consumer its lease in ms, and when it last said so in ms. It lives on for a week
-- without a word, so that nothing is left of a group that is gone.

-- Writes down how long a consumer's leases last, unless it has said so within one of them. A server that is
-- out of memory does not take it; what is there stays true.
local function say_lease(key, consumer, lease_ms, now)
  local said_ms, said_at = string.match(redis.call('HGET', key, consumer) or '', '^(%d+) (%d+)$')
  if tonumber(said_ms) == lease_ms and math.abs(now - said_at) < math.max(lease_ms, 1000) then return end
  redis.pcall('HSET', key, consumer, string.format('%.0f %.0f', lease_ms, now))
  redis.call('PEXPIRE', key, 7 * 24 * 3600 * 1000)
end

-- What each consumer has said, and the lease in ms of one that has said nothing. Its leases may be as long
-- as anybody's: those of the others, or `own_ms`, those of who asks.
local function leases_of(key, own_ms)
  local said, longest, flat = {}, own_ms, redis.call('HGETALL', key)
  for i = 1, #flat, 2 do
    local ms, at = string.match(flat[i + 1], '^(%d+) (%d+)$')
    said[flat[i]] = {ms = tonumber(ms), at = tonumber(at)}
    longest = math.max(longest, ms)
  end
  return said, longest
end

-- How long the leases of a consumer last in ms.
local function lease_of(consumer, said, longest)
  return said[consumer] and said[consumer].ms or longest
end
