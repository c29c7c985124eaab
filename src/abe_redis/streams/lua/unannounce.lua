-- Removes deleted streams from the index in which consumers find new ones. One that was announced lately
-- stays: its publisher, who may have made it anew, announces it only now and then. The newest stays, too,
-- since `announce` goes on from its time.
--
-- KEYS  the index
-- ARGV  for how many seconds nobody has announced what is removed; names of streams
-- Answers how many were removed.
-- flags: allow-oom

local index = KEYS[1]
local before = redis.call('TIME')[1] - ARGV[1]
local newest = redis.call('ZRANGE', index, -1, -1)[1]
local removed = 0
for i = 2, #ARGV do
  local at = redis.call('ZSCORE', index, ARGV[i])
  if at and tonumber(at) < before and ARGV[i] ~= newest then
    removed = removed + redis.call('ZREM', index, ARGV[i])
  end
end
return removed
