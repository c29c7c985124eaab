-- Counts also what XDEL removed from among the entries that a group was not given yet, once.
--
-- How many entries were ever added, how many of these the group was given (which `read_new` keeps known), and
-- how many lie behind its position tell it. Those behind are counted only when something was deleted since
-- they last were, and only when they can be no more than 10,000; until then nothing is forgotten.

-- include: note_loss
local most_counted = 10000

local function count_behind(stream, position)
  local count, from = 0, '(' .. position
  while true do
    local page = redis.call('XRANGE', stream, from, '+', 'COUNT', 100)
    count = count + #page
    if #page < 100 then return count end
    from = '(' .. page[#page][1]
  end
end

-- How many entries lie behind the group's position; nil when that was counted before, or takes too long.
local function news_behind(stream, records, of, info)
  local last, deleted = of['last-delivered-id'], info['max-deleted-entry-id']
  if last == info['last-generated-id'] then return 0 end
  local at_most = math.min(info['entries-added'] - of['entries-read'], info['length'])
  local removed = before(last, deleted) and info['entries-added'] - info['length'] or 0
  local state, field = string.format('%s %.0f', deleted, removed), 'deleted ' .. of['name']
  if redis.call('HGET', records, field) == state then
    of['lag'] = of['lag'] or at_most
  elseif at_most <= most_counted then
    redis.pcall('HSET', records, field, state) -- who may not write it counts again
    return count_behind(stream, last)
  end
end

local function note_deleted(stream, records, of, info)
  local lost = note_loss(stream, records, of, info)
  if not of['entries-read'] or info['max-deleted-entry-id'] == '0-0' then return lost end
  local behind = news_behind(stream, records, of, info)
  if not behind then return lost end
  of['lag'] = behind
  local read = info['entries-added'] - behind
  local gone = read - of['entries-read']
  if gone <= 0 then return lost end
  redis.call(to_position('SETID', stream, of['name'], of['last-delivered-id'], read))
  redis.call('HINCRBY', records, 'lost ' .. of['name'], gone)
  of['entries-read'] = read
  return lost + gone
end
