-- Whether a stream lacks an entry that nobody trimmed or deleted: somebody put an older copy in its place
-- (see `replaced`). Then the event of that entry may be published anew.

-- include: facts
-- include: ids
local function is_lost(stream, id)
  local found = redis.pcall('XRANGE', stream, id, id)
  if found.err or #found > 0 then return false end
  local said = redis.pcall('XINFO', 'STREAM', stream)
  if said.err then return false end
  local info = facts(said)
  local first = info['first-entry']
  if before(info['last-generated-id'], id) then return true end
  return first and before(first[1], id) and before(info['max-deleted-entry-id'], id)
end
