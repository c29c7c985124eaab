-- How much memory a full server lacks, and how much the finished entries of a stream hold at most.
--
-- The finished ones are estimated: those that no group has pending or is yet to get, each of average size.
--
-- KEYS  the stream
-- Answers both in bytes; or nothing if the server tells this user neither, or has no limit.
-- flags: no-writes

-- include: facts
-- include: is_absent
local stream = KEYS[1]
local info = redis.pcall('INFO', 'memory')
local size = redis.pcall('MEMORY', 'USAGE', stream)
local groups = redis.pcall('XINFO', 'GROUPS', stream)
if type(info) ~= 'string' or type(size) ~= 'number' or groups.err then return {} end

local function field(name) return tonumber(string.match(info, '\n' .. name .. ':(%d+)')) end

local used, most = field('used_memory'), field('maxmemory')
if not used or not most or most == 0 then return {} end
local length, unfinished = redis.call('XLEN', stream), 0
for _, row in ipairs(groups) do
  local of = facts(row)
  unfinished = math.max(unfinished, of['pending'] + (of['lag'] or 0))
end
local finished = length > 0 and math.max(0, length - unfinished) / length or 0
return {used - (field('mem_not_counted_for_evict') or 0) - most, math.ceil(size * finished)}
