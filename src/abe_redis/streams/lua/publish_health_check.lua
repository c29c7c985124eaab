-- Adds a health check, and keeps only the last ones in a stream that nobody reads.
--
-- Only health checks are removed, and none that comes behind something else.
--
-- KEYS  the stream, its records
-- ARGV  how many entries a stream may have, how many health checks stay, the fields' names and values
-- Answers its id and the stream's length; or an error.

-- include: destroyed
local stream, records = KEYS[1], KEYS[2]
local hard_maxlen, kept = tonumber(ARGV[1]), tonumber(ARGV[2])

local function is_health_check(entry)
  local data = facts(entry[2])['data']
  local is_json, payload = pcall(cjson.decode, data)
  return is_json and type(payload) == 'table' and payload['type'] == 'health_check'
end

local function is_read()
  local groups = redis.call('XINFO', 'GROUPS', stream)
  return #groups > 0 or #destroyed_groups(stream, redis.call('HGETALL', records), {}) > 0
end

if redis.call('XLEN', stream) >= hard_maxlen then
  return redis.error_reply('STREAMFULL it has ' .. hard_maxlen .. ' entries')
end
local id = redis.call('XADD', stream, '*', unpack(ARGV, 3))
local excess = redis.call('XLEN', stream) - kept
if excess > 0 and not is_read() then
  local entries = redis.call('XRANGE', stream, '-', '+', 'COUNT', math.min(excess, 100) + 1)
  local first_kept = 1
  while first_kept < #entries and is_health_check(entries[first_kept]) do first_kept = first_kept + 1 end
  redis.call('XTRIM', stream, 'MINID', entries[first_kept][1])
end
return {id, redis.call('XLEN', stream)}
