-- From which consumers of a group others took entries that these had not given back. Where nobody holds what
-- a consumer has in hand, and nobody took anything from it, nobody can have finished that: it was dropped,
-- when somebody removed the consumer, though the consumer may be there again since. Whose entries were taken
-- from under nobody's name is not known, so `abe:nobody` in the list stands for everybody.
--
-- The records have them in one field, the newest last, a line each.

local most_robbed, robbed_seconds = 1000, 7 * 86400

local function robbed_of(records, group)
  local listed = {}
  local lines = redis.call('HGET', records, 'robbed ' .. group) or ''
  for at, name in string.gmatch(lines, '(%d+) ([^\n]*)\n') do
    listed[#listed + 1] = {at = tonumber(at), name = name}
  end
  return listed
end

local is_noted = {} -- per records and consumer

-- Notes that an entry was taken from a consumer. A server that is out of memory does not take it.
local function note_robbed(records, group, consumer)
  local key = records .. '\n' .. consumer
  if is_noted[key] then return end
  is_noted[key] = true
  local now, lines, listed = tonumber(redis.call('TIME')[1]), {}, robbed_of(records, group)
  for at = math.max(1, #listed - most_robbed + 2), #listed do
    local one = listed[at]
    local is_old = now - one.at >= robbed_seconds
    if one.name == consumer and now - one.at < robbed_seconds / 2 then return end
    if one.name ~= consumer and not is_old then
      lines[#lines + 1] = string.format('%.0f %s\n', one.at, one.name)
    end
  end
  lines[#lines + 1] = string.format('%.0f %s\n', now, consumer)
  redis.pcall('HSET', records, 'robbed ' .. group, table.concat(lines))
end
