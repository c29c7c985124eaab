-- Says that a member of a group is there, or that it goes.
--
-- A member is seen for a lease; it may be gone from here and still own something, or the reverse.
--
-- KEYS  the sorted set of members, by when they were last seen in ms
-- ARGV  the member's token, the lease in ms, `stay` or `go`
-- Answers the tokens of all members.
-- flags: allow-oom

-- include: clock
local members = KEYS[1]
local token, lease_ms, stays = ARGV[1], tonumber(ARGV[2]), ARGV[3] == 'stay'
local now = now_ms()
for _, gone in ipairs(redis.call('ZRANGE', members, '-inf', now - lease_ms, 'BYSCORE')) do
  redis.call('ZREM', members, gone)
end
if stays then
  redis.call('ZADD', members, now, token)
  redis.call('PEXPIRE', members, lease_ms)
else
  redis.call('ZREM', members, token)
end
return redis.call('ZRANGE', members, 0, -1)
