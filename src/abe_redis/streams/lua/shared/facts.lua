-- Turns flat replies into tables: an XINFO reply, one group, or the fields of an entry.

-- include: is_absent
local function facts(flat)
  local of = {}
  for i = 1, #flat, 2 do of[flat[i]] = flat[i + 1] end
  return of
end

local groups_seen = 0 -- by which a script tells that it has done enough for one call

-- The facts of a group; nil when the stream or the group does not exist.
local function group_of(stream, name)
  local rows = redis.pcall('XINFO', 'GROUPS', stream)
  if is_absent(rows, 'XINFO GROUPS') then return end
  groups_seen = groups_seen + #rows
  for _, row in ipairs(rows) do
    if row[2] == name then
      -- A table with room for all facts: to let it grow with each takes longer.
      local of = {
        name = name, consumers = 0, pending = 0,
        ['last-delivered-id'] = '', ['entries-read'] = false, lag = false,
      }
      for i = 3, #row, 2 do of[row[i]] = row[i + 1] end
      return of
    end
  end
end
