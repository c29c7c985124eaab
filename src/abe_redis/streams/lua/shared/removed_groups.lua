-- The groups that our own command removed last: a worker that makes one again can say why it was gone. The
-- records hold them in one field, the newest last, one per line. As long as they are there, whether they had
-- workers (`worked`) stays known: an agent that makes one again works in the workers' group.

-- include: record_lines
local most_removed = 20

local function removed_in(said)
  local found = {}
  for name in string.gmatch(said or '', '([^\n]+)\n') do
    found[#found + 1] = name
  end
  return found
end

local function was_removed(said, group)
  for _, name in ipairs(removed_in(said)) do
    if name == group then return true end
  end
  return false
end

local function note_removed(records, group)
  local lines, earlier = {}, removed_in(redis.call('HGET', records, 'removed'))
  for i = 1, #earlier - most_removed + 1 do
    local is_there = earlier[i] == group or redis.call('HGET', records, 'used ' .. earlier[i])
    if not is_there then redis.call('HDEL', records, 'worked ' .. earlier[i]) end
  end
  for i = math.max(1, #earlier - most_removed + 2), #earlier do
    if earlier[i] ~= group then lines[#lines + 1] = earlier[i] .. '\n' end
  end
  lines[#lines + 1] = group .. '\n'
  record_lines(records, 'removed', lines)
end
