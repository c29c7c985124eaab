-- Counts, once, the entries that were removed before the group read them; answers how many.
--
-- If a stream begins behind the last entry that a group was given, all its entries are unread, and the
-- entries missing from entries-added were removed unread. Redis forgets that number with the next read
-- (Redis 7.0 never does, and keeps it in the lag for ever), so entries-read is corrected once it is
-- counted.

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
