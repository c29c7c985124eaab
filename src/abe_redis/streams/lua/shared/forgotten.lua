-- Which consumers of a group were removed since they held nothing and were silent, and when: what they once
-- held, others have taken over. A process that wakes after that must not take it for the hand of somebody who
-- dropped what it holds.
--
-- The records have them in one field, the newest last, a line each.

local function forgotten_of(records, group)
  local found = {}
  local lines = redis.call('HGET', records, 'forgotten ' .. group) or ''
  for at, name in string.gmatch(lines, '(%d+) ([^\n]*)\n') do
    found[#found + 1] = {at = tonumber(at), name = name}
  end
  return found
end
