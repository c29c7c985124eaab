-- Counts what somebody removed before the group read it, once; answers how many entries that is.
--
-- When a stream begins behind what a group was last given, all it has is unread, and what is missing from
-- entries-added was removed unread. Redis itself forgets that with the next read (7.0: never, and counts
-- it as lag for ever), so entries-read is put right once it is counted.

-- include: facts
-- include: ids
-- include: position
local function note_loss(stream, records, of, info)
  local first, read = info['first-entry'], of['entries-read']
  if first and not before(of['last-delivered-id'], first[1]) then return 0 end
  local unread = info['entries-added'] - info['length']
  local lost = read and unread - read or 0
  if lost > 0 or not read then
    redis.call(to_position('SETID', stream, of['name'], of['last-delivered-id'], unread))
    of['entries-read'] = unread
  end
  if lost <= 0 then return 0 end
  redis.call('HINCRBY', records, 'lost ' .. of['name'], lost)
  if of['lag'] then of['lag'] = of['lag'] - lost end
  return lost
end
