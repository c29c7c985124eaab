-- Gives up the ownership of streams, so that other consumers can claim them at once.
--
-- KEYS  per stream, the key that names its owner
-- ARGV  the owner's token
-- Answers per stream 1 if it was the owner, else 0.

local token = ARGV[1]
local answers = {}
for i, key in ipairs(KEYS) do
  answers[i] = redis.call('GET', key) == token and redis.call('PEXPIRE', key, 0) or 0
end
return answers
