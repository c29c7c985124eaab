-- Flat replies as tables: the facts of an XINFO reply, of one group, or the fields of an entry.

-- include: is_gone
local function facts(flat)
  local of = {}
  for i = 1, #flat, 2 do of[flat[i]] = flat[i + 1] end
  return of
end

-- The facts of a group; nil when the stream or the group does not exist.
local function group_of(stream, name)
  local rows = redis.pcall('XINFO', 'GROUPS', stream)
  for _, row in ipairs(is_gone(rows, 'XINFO GROUPS') and {} or rows) do
    local of = facts(row)
    if of['name'] == name then return of end
  end
end
