-- How many entries lie before a position; nil where that is not known.

-- include: facts
-- include: ids
local function read_at(stream, position)
  local info = facts(redis.call('XINFO', 'STREAM', stream))
  local first = info['first-entry']
  if position == '$' or position == info['last-generated-id'] then return info['entries-added'] end
  if not first or before(position, first[1]) then return info['entries-added'] - info['length'] end
end
