-- The consumers that a group had when its pending entries were last listed: see `list_pending`.
--
-- They are a field of the records, so that trimming can read it. First come the position of the group then,
-- how many entries were pending, how many the group had been given (-1: unknown), and the time in ms; then
-- one consumer per line, also those that had only just recorded their leases.

-- include: facts

local names_read = {} -- per stream, by group; what puts an entry back forgets those of its stream

-- The names of the consumers that a group has.
local function names_of(stream, group)
  local read = names_read[stream] or {}
  if read[group] then return read[group] end
  local rows, there = redis.pcall('XINFO', 'CONSUMERS', stream, group), {}
  for _, row in ipairs(is_absent(rows, 'XINFO CONSUMERS') and {} or rows) do
    there[facts(row)['name']] = true
  end
  read[group], names_read[stream] = there, read
  return there
end

local leases_read = {}

-- The consumers that have recorded their leases, each with the length of its lease and the time of the record
-- in ms.
local function leases_in(leases)
  if leases_read[leases] then return leases_read[leases] end
  local said, flat = {}, redis.pcall('HGETALL', leases)
  for i = 1, #flat, 2 do
    local ms, at = string.match(flat[i + 1], '^(%d+) (%d+)$')
    said[flat[i]] = {ms = tonumber(ms), at = tonumber(at)}
  end
  leases_read[leases] = said
  return said
end

-- Whether a consumer recorded its lease so lately that its worker may live.
local function is_recent(said, now) return math.abs(now - said.at) < 2 * math.max(said.ms, 1000) + 2000 end

-- What is written in that field.
local function known_in(said)
  local position, pending, read, at, lines = string.match(said, '^(%S+) (%d+) (%S+) (%d+)\n(.*)$')
  local names = {}
  for name in string.gmatch(lines, '([^\n]+)\n') do names[name] = true end
  return {
    position = position, pending = tonumber(pending), read = tonumber(read), at = tonumber(at),
    names = names,
  }
end

local function known_of(records, group)
  local said = redis.call('HGET', records, 'known ' .. group)
  return said and known_in(said)
end

-- Notes that one of our own commands counts so many entries as given to the group that it was not given, and
-- moves it past those of them that lie directly behind its position.
local function note_passed(records, group, from, to, count)
  local position, pending, read, rest =
    string.match(redis.call('HGET', records, 'known ' .. group) or '', '^(%S+) (%d+) (%d+) (.*)$')
  if not position then return end
  if position == from then position = to end
  redis.pcall('HSET', records, 'known ' .. group,
    string.format('%s %s %.0f %s', position, pending, read + count, rest))
end

-- Notes that one of our own commands removed a consumer that held nothing.
local function note_left(records, group, name)
  local said = redis.call('HGET', records, 'known ' .. group)
  if not said then return end
  local from, to = string.find(said, '\n' .. name .. '\n', 1, true)
  if from then
    redis.pcall('HSET', records, 'known ' .. group, string.sub(said, 1, from) .. string.sub(said, to + 1))
  end
end
