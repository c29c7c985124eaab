-- Counts an entry as lost that its stream no longer has and that the group has not finished.
--
-- The losses of a deleted stream are counted from its records: see `floor`. A stream that was made again
-- since has lost no entry yet.

-- An entry that leaves the pending list with that is noted: it is counted once.

-- include: facts
local most_gone = 200

-- Whether an entry was counted already.
local function is_counted(records, group, id)
  local noted = redis.call('HGET', records, 'gone ' .. group)
  return noted and string.find(' ' .. noted, ' ' .. id .. ' ', 1, true) ~= nil
end

local function remember_gone(records, group, id)
  local noted = (redis.call('HGET', records, 'gone ' .. group) or '') .. id .. ' '
  if select(2, string.gsub(noted, ' ', '')) > most_gone then noted = string.match(noted, '^%S+ (.*)$') end
  redis.pcall('HSET', records, 'gone ' .. group, noted)
end

local function note_gone(stream, records, group, id)
  local info = redis.pcall('XINFO', 'STREAM', stream)
  if info.err then return false end
  local of = facts(info)
  if of['entries-added'] == of['length'] then return false end
  if is_counted(records, group, id) then return false end
  remember_gone(records, group, id)
  redis.pcall('HINCRBY', records, 'lost ' .. group, 1) -- a server that is out of memory does not take it
  return true
end
