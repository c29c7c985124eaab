-- Counts an entry as lost that its stream no longer has and that the group has not finished.
--
-- The losses of a deleted stream, and of one that somebody replaced, are counted from its records: see
-- `replaced`. A stream that was made again since has lost no entry yet.

-- An entry that leaves the pending list with that is noted: it is counted once. With `-` before its id it had
-- left the list before the pending entries were last listed.

-- include: facts
-- include: ids
local most_gone = 200

-- Whether an entry was counted already.
local function is_counted(records, group, id)
  local noted, replaced = unpack(redis.call('HMGET', records, 'gone ' .. group, 'replaced ' .. group))
  local from, upto = string.match(replaced or '', '^(%S+) (%S+)$')
  if from and before(from, id) and not before(upto, id) then return true end
  noted = ' ' .. (noted or '')
  local now, before_list = ' ' .. id .. ' ', ' -' .. id .. ' '
  return (string.find(noted, now, 1, true) or string.find(noted, before_list, 1, true)) ~= nil
end

-- Marks what was counted until now as not pending any more, as the pending entries are listed; nil if nothing
-- changes.
local function aged(noted)
  local news = noted and string.gsub(noted, '(%S+) ', function(id)
    return (string.sub(id, 1, 1) == '-' and '' or '-') .. id .. ' '
  end)
  return news ~= noted and news or nil
end

local function age_gone(records, group)
  local news = aged(redis.call('HGET', records, 'gone ' .. group))
  if news then redis.pcall('HSET', records, 'gone ' .. group, news) end
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
