-- Removes consumers of a group that are gone.
--
-- XGROUP DELCONSUMER drops what the consumer holds, so only one that holds nothing is removed. One that is
-- alive after all, and only slow, is made again by its next read.
--
-- KEYS  per stream: the stream, its records
-- ARGV  group, for how many ms a consumer that is gone has asked for nothing
-- Answers how many were removed.

-- include: facts
local group, idle_ms = ARGV[1], tonumber(ARGV[2])
local forgotten = 0

for i = 1, #KEYS, 2 do
  local stream, records = KEYS[i], KEYS[i + 1]
  local rows = redis.pcall('XINFO', 'CONSUMERS', stream, group)
  for _, row in ipairs(rows.err and {} or rows) do
    local of = facts(row)
    if of['pending'] == 0 and of['idle'] >= idle_ms then
      redis.call('XGROUP', 'DELCONSUMER', stream, group, of['name'])
      redis.call('HSET', records, 'used ' .. group, redis.call('TIME')[1])
      forgotten = forgotten + 1
    end
  end
end
return forgotten
