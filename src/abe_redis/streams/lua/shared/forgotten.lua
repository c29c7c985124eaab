-- Consumers of a group that were removed because they held nothing and were silent, and when. Other
-- consumers have taken over what they once held. So a removed consumer that wakes later must not count as
-- one that somebody removed together with its entries.
--
-- The records hold them in one field, the newest last, one per line.

local function forgotten_of(records, group)
  local found = {}
  local lines = redis.call('HGET', records, 'forgotten ' .. group) or ''
  for at, name in string.gmatch(lines, '(%d+) ([^\n]*)\n') do
    found[#found + 1] = {at = tonumber(at), name = name}
  end
  return found
end
