-- Who owns streams.
--
-- KEYS  per stream, the key that names its owner
-- Answers per stream the owner's token, or '' when it has none.

local answers = {}
for i, key in ipairs(KEYS) do answers[i] = redis.call('GET', key) or '' end
return answers
