-- Tells who owns streams.
--
-- No key lives longer than one lease of its owner, which the owner's token names. A key with a longer life
-- shows that the server's clock was set back, so its lease begins anew.
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
