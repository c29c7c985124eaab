-- Who owns streams.
--
-- No owner has a key for longer than one of its leases, which its token names: where one has, the server's
-- clock was set back since, and the lease begins anew.
--
-- KEYS  per stream, the key that names its owner
-- Answers per stream the owner's token, or '' when it has none.

-- include: token
local answers = {}
for i, key in ipairs(KEYS) do
  local owner = redis.call('GET', key) or ''
  local lease_ms = lease_in(owner)
  if lease_ms then redis.call('PEXPIRE', key, lease_ms, 'LT') end
  answers[i] = owner
end
return answers
