-- Counts an entry as lost that its stream no longer has and that the group has not finished.
--
-- The losses of a deleted stream are counted from its records: see `floor`. A stream that was made again
-- since has lost no entry yet.

-- include: facts
local function note_gone(stream, records, group)
  local info = redis.pcall('XINFO', 'STREAM', stream)
  if info.err then return false end
  local of = facts(info)
  if of['entries-added'] == of['length'] then return false end
  redis.pcall('HINCRBY', records, 'lost ' .. group, 1) -- a server that is out of memory does not take it
  return true
end
