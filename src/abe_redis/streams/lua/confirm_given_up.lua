-- Confirms that a consumer has looked for what a person took from it, and has let go of it: see `given_up`.
--
-- KEYS  per stream: the stream, its records
-- ARGV  group, consumer; per stream: the number up to which it has looked
-- Answers OK.

-- include: given_up
local group, consumer = ARGV[1], ARGV[2]
for i = 1, #KEYS, 2 do
  local records, upto = KEYS[i + 1], tonumber(ARGV[2 + (i + 1) / 2])
  local kept = string.gsub(given_up_of(records, group), '(%d+) %S+ ([^\n]*)\n', function(at, name)
    if name == consumer and tonumber(at) <= upto then return '' end
  end)
  write_given_up(records, group, kept)
end
return redis.status_reply('OK')
