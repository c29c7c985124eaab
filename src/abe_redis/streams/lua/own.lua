-- Claims streams that have no owner, or renews their ownership for another lease.
--
-- A renewal fails if the key is missing: another owner may have had the stream since.
--
-- KEYS  per stream, the key that names its owner
-- ARGV  the owner's token, the lease in ms, `take` (also what has no owner) or `keep`
-- Answers per stream 1 if it is the owner now, else 0.
-- flags: allow-oom

local token, lease_ms, takes = ARGV[1], ARGV[2], ARGV[3] == 'take'
local answers = {}
for i, key in ipairs(KEYS) do
  local owner = redis.call('GET', key)
  if owner == token or (not owner and takes) then
    redis.call('SET', key, token, 'PX', lease_ms)
    answers[i] = 1
  else
    answers[i] = 0
  end
end
return answers
