-- Removes a step of what a stream has beyond its bound and every group has finished.
--
-- What a group needs is everything after what it was last given, and everything it was given and has not
-- acked. MINID keeps its argument, so an entry that some group needs is never cut. Only a group that has
-- long had no consumer is passed over; what that costs it is counted.
--
-- KEYS  per stream: the stream, its records
-- ARGV  the bound, how many entries a step removes at most, for how many ms a group may be without a consumer
--       before it is passed over (0: no group is)
-- Answers per stream: how many it removed (-1: the stream is above its bound, and none could go), and
-- groups that were passed over with how many entries each of them had not finished.

-- include: clock
-- include: facts
-- include: ids
-- include: position
local maxlen, step, idle_ms = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local now, seconds = now_ms(), redis.call('TIME')[1]
local answers = {}

-- Whether a group holds back what it needs. One without a record of its use is used from now on.
local function holds(stream, records, group)
  if idle_ms == 0 or redis.call('HGET', records, 'paused ' .. group) then return true end
  local used = redis.call('HGET', records, 'used ' .. group)
  used = used and used * 1000
  for _, row in ipairs(redis.call('XINFO', 'CONSUMERS', stream, group)) do
    used = math.max(used or 0, now - facts(row)['idle'])
  end
  if not used then
    redis.call('HSET', records, 'used ' .. group, seconds)
    return true
  end
  return now - used < idle_ms
end

-- Lets a group give up what lies before the cut; answers how many entries that is.
local function give_up(stream, records, of, entries, cut)
  if cut == '0-0' then return 0 end -- nothing comes before it, and Redis refuses to be asked
  local last, lost, unread = of['last-delivered-id'], 0, 0
  for _, row in ipairs(redis.call('XPENDING', stream, of['name'], '-', '(' .. cut, 2 * #entries)) do
    lost = lost + redis.call('XACK', stream, of['name'], row[1])
  end
  for _, entry in ipairs(entries) do
    if before(entry[1], cut) and before(last, entry[1]) then unread = unread + 1 end
  end
  if unread > 0 and of['entries-read'] then
    redis.call(to_position('SETID', stream, of['name'], last, of['entries-read'] + unread))
  end
  if lost + unread > 0 then redis.call('HINCRBY', records, 'lost ' .. of['name'], lost + unread) end
  return lost + unread
end

local function trim(stream, records)
  if redis.call('TYPE', stream).ok ~= 'stream' then return 0, {} end
  local excess = redis.call('XLEN', stream) - maxlen
  if excess <= 0 then return 0, {} end
  local entries = redis.call('XRANGE', stream, '-', '+', 'COUNT', math.min(excess, step) + 1)
  local cut, unused, given_up = entries[#entries][1], {}, {}
  for _, row in ipairs(redis.call('XINFO', 'GROUPS', stream)) do
    local of = facts(row)
    local needed = of['last-delivered-id']
    if of['pending'] > 0 then
      local oldest = redis.call('XPENDING', stream, of['name'])[2]
      if before(oldest, needed) then needed = oldest end
    end
    if before(needed, cut) then
      if holds(stream, records, of['name']) then cut = needed else unused[#unused + 1] = of end
    end
  end
  for _, of in ipairs(unused) do
    local count = give_up(stream, records, of, entries, cut)
    if count > 0 then
      given_up[#given_up + 1] = of['name']
      given_up[#given_up + 1] = count
    end
  end
  local count = redis.call('XTRIM', stream, 'MINID', cut)
  return count > 0 and count or -1, given_up
end

for i = 1, #KEYS, 2 do
  local stream, records = KEYS[i], KEYS[i + 1]
  local removed, given_up = trim(stream, records)
  answers[#answers + 1] = {removed, given_up}
end
return answers
