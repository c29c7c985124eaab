-- Whether a group buried an entry just now: the answer to a burial can be lost, and then the burial is
-- repeated.

-- include: split
-- include: ids
local most_looked_at, page_size = 200, 20

-- Whether one of the newest entries of a stream is the wanted one; reads few at a time, since they may be
-- large.
local function among_newest(stream, is_wanted)
  local to, seen = '+', 0
  while seen < most_looked_at do
    local page = redis.call('XREVRANGE', stream, to, '-', 'COUNT', page_size)
    for _, entry in ipairs(page) do
      local _, ours = split(entry[2])
      if is_wanted(entry[1], ours) then return true end
    end
    if #page < page_size then return false end
    seen = seen + #page
    to = '(' .. page[#page][1]
  end
  return false
end

-- Whether its dead letter exists, or was redriven to the stream since.
local function is_buried(stream, dead, group, id)
  local entry = redis.call('XRANGE', stream, id, id)[1]
  local first = id
  if entry then
    local _, ours = split(entry[2])
    first = ours['abe:first'] or id
  end
  local function is_letter(_, ours) return ours['abe:group'] == group and ours['abe:id'] == first end
  local function is_redriven(other, ours)
    return other ~= id and ours['abe:only'] == group and ours['abe:first'] == first and before(id, other)
  end
  return among_newest(dead, is_letter) or among_newest(stream, is_redriven)
end
