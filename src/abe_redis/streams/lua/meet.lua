-- Records that a member of a group is alive, or that it leaves.
--
-- A member counts as alive for one of its own leases, which its token names, and for at least three
-- intervals of its announcements. An entry with a time in the future was made before the clock was set
-- back. A member may be missing here and still own something, or the reverse.
--
-- KEYS  the sorted set of members, by when they were last seen in ms
-- ARGV  the member's token, its lease in ms, `stay` or `go`
-- Answers the tokens of all members.
-- flags: allow-oom

-- include: clock
-- include: token
local members = KEYS[1]
local token, lease_ms, stays = ARGV[1], tonumber(ARGV[2]), ARGV[3] == 'stay'
local now = now_ms()
if stays then
  redis.call('ZADD', members, now, token)
else
  redis.call('ZREM', members, token)
end

local rows, longest_ms = redis.call('ZRANGE', members, 0, -1, 'WITHSCORES'), 0
for i = 1, #rows, 2 do
  local member, seen_at = rows[i], tonumber(rows[i + 1])
  local seen_ms = math.max(lease_in(member) or lease_ms, 2400)
  if seen_at <= now - seen_ms then
    redis.call('ZREM', members, member)
  else
    if seen_at > now then redis.call('ZADD', members, now, member) end
    longest_ms = math.max(longest_ms, seen_ms)
  end
end
if longest_ms > 0 then redis.call('PEXPIRE', members, longest_ms) end
return redis.call('ZRANGE', members, 0, -1)
