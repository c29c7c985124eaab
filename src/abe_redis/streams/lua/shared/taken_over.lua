-- The entries that handlers had begun before, and that a consumer took over while a blocking read of its own
-- was under way. If the answers to both are lost, these entries are told from those of the read by this: the
-- read alone counted its entries as delivered.
--
-- The records hold them in one field, the newest first, one per line: the time in ms, the id, the consumer.

-- include: record_lines
local most_taken_over = 100
local taken_over_lists = {} -- per records

local function taken_over_of(records, group)
  if not taken_over_lists[records] then
    taken_over_lists[records] = redis.call('HGET', records, 'overtaken ' .. group) or ''
  end
  return taken_over_lists[records]
end

local function note_taken_over(records, group, consumer, ids, now)
  local lines = {}
  for _, id in ipairs(ids) do lines[#lines + 1] = string.format('%.0f %s %s\n', now, id, consumer) end
  for line in string.gmatch(taken_over_of(records, group), '[^\n]+\n') do
    if #lines < most_taken_over then lines[#lines + 1] = line end
  end
  record_lines(records, 'overtaken ' .. group, lines)
end

-- Whether a consumer may have taken an entry over in this way, at that time in ms. What was taken over before
-- the oldest of a full list is forgotten.
local function may_be_taken_over(records, group, consumer, id, at)
  local noted = taken_over_of(records, group)
  if string.find(noted, ' ' .. id .. ' ' .. consumer .. '\n', 1, true) then return true end
  local oldest = tonumber(string.match(noted, '(%d+) %S+ [^\n]*\n$'))
  local _, count = string.gsub(noted, '\n', '\n')
  return count >= most_taken_over and oldest >= at
end
