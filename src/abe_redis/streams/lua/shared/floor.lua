-- Where a deleted group starts again, and how many entries it lost.
--
-- A floor does not count if the stream was deleted after it was recorded: then fewer entries were ever
-- added than at that time, or the last id lies before the floor; and the entries that were unfinished then
-- count as lost. Answers where, how many, and whether the records were void; a caller that has read the
-- floor gives it.

-- include: group_fields
-- include: ids
local function floor_of(records, group, info, recorded)
  if recorded == nil then recorded = redis.call('HGET', records, 'floor ' .. group) end
  if not recorded then return '0', 0, false end
  local id, added_then, unfinished = string.match(recorded, '^(%S+) (%d+) (%d+)$')
  local is_as_then = info and info['entries-added'] >= tonumber(added_then)
  if is_as_then and not before(info['last-generated-id'], id) then
    return id == '0-0' and '0' or id, 0, false
  end
  forget_group(records, group, 'deleted')
  if unfinished ~= '0' then redis.call('HINCRBY', records, 'lost ' .. group, unfinished) end
  return '0', tonumber(unfinished), true
end
