-- Consumers of a group that were removed because they held nothing and were silent, and when. Other
-- consumers have taken over what they once held. So a removed consumer that wakes later must not count as
-- one that somebody removed together with its entries.
--
-- The records hold them in one field for seven days, the newest last, one per line.

-- include: record_lines
local most_forgotten, forgotten_seconds = 1000, 7 * 86400

local function forgotten_of(records, group)
  local found = {}
  local lines = redis.call('HGET', records, 'forgotten ' .. group) or ''
  for at, name in string.gmatch(lines, '(%d+) ([^\n]*)\n') do
    found[#found + 1] = {at = tonumber(at), name = name}
  end
  return found
end

local forgotten_names = {} -- per records; who asks does not change them

-- Whether a consumer of the group was removed in this way.
local function is_forgotten(records, group, name)
  if not forgotten_names[records] then
    local names = {}
    for _, one in ipairs(forgotten_of(records, group)) do names[one.name] = true end
    forgotten_names[records] = names
  end
  return forgotten_names[records][name] ~= nil
end

-- Adds removed consumers to the record, and keeps earlier ones that have not come back.
local function note_forgotten(records, group, names, is_there)
  local seconds = tonumber(redis.call('TIME')[1])
  local lines, noted = {}, forgotten_of(records, group)
  for i = math.max(1, #noted + #names - most_forgotten + 1), #noted do
    local one = noted[i]
    if not is_there[one.name] and seconds - one.at < forgotten_seconds then
      lines[#lines + 1] = string.format('%.0f %s\n', one.at, one.name)
    end
  end
  for _, name in ipairs(names) do lines[#lines + 1] = string.format('%.0f %s\n', seconds, name) end
  if #lines > 0 or #noted > 0 then record_lines(records, 'forgotten ' .. group, lines) end
end
