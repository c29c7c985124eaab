-- Where a deleted group starts again, and how many entries it lost.
--
-- A floor does not count if the stream was deleted or replaced after it was recorded: then fewer entries were
-- ever added than at that time, or the last id lies before the floor; and of the entries that were unfinished
-- then, those count as lost that the stream does not have: see `replaced`. Answers where, how many, whether
-- the records were void, and of an older copy what `forget_replaced` answers; a caller that has read the
-- floor gives it.

-- include: ids
-- include: replaced
local function floor_of(stream, records, group, info, recorded)
  if recorded == nil then recorded = redis.call('HGET', records, 'floor ' .. group) end
  if not recorded then return '0', 0, false, '' end
  local id, added_then, unfinished = string.match(recorded, '^(%S+) (%d+) (%d+)$')
  local is_as_then = info and info['entries-added'] >= tonumber(added_then)
  if is_as_then and not before(info['last-generated-id'], id) then
    return id == '0-0' and '0' or id, 0, false, ''
  end
  local lost, replaced = forget_replaced(stream, records, group, info, id, tonumber(unfinished))
  return '0', lost, true, replaced
end
