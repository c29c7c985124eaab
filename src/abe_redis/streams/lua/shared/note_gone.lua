-- Counts an entry as lost that its stream does not have any more, though the group has not finished it.
--
-- What a stream had that was deleted as a whole is counted from its records: see `floor`. From one that was
-- made anew since, nothing was removed yet.

-- include: facts
local function note_gone(stream, records, group)
  local info = redis.pcall('XINFO', 'STREAM', stream)
  if info.err then return false end
  local of = facts(info)
  if of['entries-added'] == of['length'] then return false end
  redis.pcall('HINCRBY', records, 'lost ' .. group, 1) -- a server that is out of memory does not take it
  return true
end
