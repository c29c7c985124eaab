-- Records since when a consumer holds events, in place of its earlier record. Redis itself cannot tell: a
-- renewal begins a lease anew. The record expires after a week without a new one, so that nothing is left
-- of a removed group.
--
-- KEYS  per stream, what consumers hold
-- ARGV  consumer, `full` if functions beyond their limit hold all places of its worker (else ''); per event:
--       the number of its stream, its id, the number of its begun deliveries, for how many ms the consumer
--       has held it
-- Answers OK.
-- flags: allow-oom

-- include: clock
local consumer, full, now = ARGV[1], ARGV[2], now_ms()
local said = {} -- per key

for i = 3, #ARGV, 4 do
  local key, words = KEYS[tonumber(ARGV[i])], said[KEYS[tonumber(ARGV[i])]] or {full}
  said[key] = words
  words[#words + 1] = string.format('%s %s %.0f', ARGV[i + 1], ARGV[i + 2], now - tonumber(ARGV[i + 3]))
end
for _, key in ipairs(KEYS) do
  if said[key] then
    redis.call('HSET', key, consumer, table.concat(said[key], ' '))
    redis.call('PEXPIRE', key, 7 * 24 * 3600 * 1000)
  else
    redis.call('HDEL', key, consumer)
  end
end
return redis.status_reply('OK')
