-- Counts, once, the entries that XDEL removed before the group was given them.
--
-- The number follows from three numbers: entries ever added, entries that the group was given (`read_new`
-- keeps that number), and entries behind the group's position. The last is counted only if something was
-- deleted since the last count, and only if it can be at most 10,000; until then no loss is forgotten.
--
-- After a restart and on a replica, Redis 7.0 forgets how many entries it has given the group, unless the
-- number was written (see `read_new`). If the group was given everything, and nothing was deleted since the
-- last count, no entry is missing.

-- include: note_loss
-- include: range_behind
local most_counted = 10000

local function count_behind(stream, position)
  local count, from = 0, position
  while true do
    local page = range_behind(stream, from, '+', 100)
    count = count + #page
    if #page < 100 then return count end
    from = page[#page][1]
  end
end

-- The number of entries behind the group's position; nil if it was counted before, or takes too long. And
-- whether no entry can have been deleted unread.
local function news_behind(stream, records, of, info)
  local last, deleted = of['last-delivered-id'], info['max-deleted-entry-id']
  local at_most = math.min(info['entries-added'] - of['entries-read'], info['length'])
  local removed = before(last, deleted) and info['entries-added'] - info['length'] or 0
  local state, field = string.format('%s %.0f', deleted, removed), 'deleted ' .. of['name']
  local is_known = deleted == '0-0' or redis.call('HGET', records, field) == state
  if last == info['last-generated-id'] then
    if not is_known then redis.pcall('HSET', records, field, state) end
    return 0, is_known
  elseif is_known then
    of['lag'] = of['lag'] or at_most
  elseif at_most <= most_counted then
    redis.pcall('HSET', records, field, state) -- who may not write it counts again
    return count_behind(stream, last)
  end
end

local function note_deleted(stream, records, of, info)
  local lost = note_loss(stream, records, of, info)
  if not of['entries-read'] then return lost end
  local behind, none_deleted = news_behind(stream, records, of, info)
  if not behind then return lost end
  of['lag'] = behind
  local read = info['entries-added'] - behind
  local gone = read - of['entries-read']
  if gone <= 0 then return lost end
  redis.call(to_position('SETID', stream, of['name'], of['last-delivered-id'], read))
  of['entries-read'] = read
  if none_deleted then return lost end
  redis.call('HINCRBY', records, 'lost ' .. of['name'], gone)
  return lost + gone
end
