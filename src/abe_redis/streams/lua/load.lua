-- Leases a page of a group's unfinished entries for the owner of the stream.
--
-- The count of an entry rises when a handler starts (see `start`), not here: otherwise an event that kills
-- its handler would bury its neighbours, too.
--
-- First it puts back what is postponed and was dropped, a step at a time, however much is postponed.
--
-- KEYS  the stream, the key that names its owner, its records, the sorted set of postponed entries,
--       consumers' records of their leases, what the group has pending
-- ARGV  group, consumer, the owner's token, its lease in ms, the id from which to read (or the place that the
--       last call answered), the least idle time in ms of an entry (for another holder: its lease), `all`
--       (also entries on which another consumer has a lease), `unseen` (only those behind the last id that
--       the owner has seen: it was given these, and the answer may be lost, so what is nobody's there is its
--       own) or `free`, the size of a page, the last id that the owner has seen, at the first page of
--       `unseen` (else '')
-- Answers {0} when another consumer owns the stream. Else 1; the last id the group was given; per entry its
-- id, fields, number of deliveries, for how many ms it is still postponed, and 1 if a handler may have
-- begun it (else 0); how many entries were removed in the meantime; where the next call goes on ('': there is
-- no more): at an id, or at a place among the postponed ones; how many entries it put back; the new and the
-- former position of a group that it set back (else ''): see `beyond_end`; how many more entries are lost
-- although they are in the stream still: see `vanished`; and how often vanished entries were put back in the
-- group so far. If that grows from the first page to the last, entries may have been put back behind the
-- owner's back.
-- Or an error when there is no such group.

-- include: agents
-- include: beyond_end
-- include: clock
-- include: untouched
-- include: ids
-- include: holder
-- include: leases
-- include: given
-- include: given_up
-- include: listed
-- include: put_back_postponed
-- include: range_behind
-- include: note_gone
-- include: not_due
-- include: vanished
-- include: reached
local stream, owner, records, due, leases, pending = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5], KEYS[6]
local group, consumer, token, lease_ms = ARGV[1], ARGV[2], ARGV[3], tonumber(ARGV[4])
local from, idle_ms, whose, count = ARGV[5], tonumber(ARGV[6]), ARGV[7], tonumber(ARGV[8])
local seen_to = ARGV[9]
if redis.call('GET', owner) ~= token then return {0} end
local of = group_of(stream, group)
if not of then return redis.error_reply('NOGROUP there is no group ' .. group .. ' on ' .. stream) end
local now, found, lost, moved = now_ms(), {}, 0, ''
if is_to_come(of['last-delivered-id'], now) then
  moved, of = set_back(stream, records, of, facts(redis.call('XINFO', 'STREAM', stream)))
end
-- Of what is postponed: how many one call looks at, as how many of these one counts that it puts back, and
-- how many `free` looks at in all.
local most_looked_at, put_back_cost, most_free = 300, 10, 1000
local most_scanned, scanned_page = 10000, 1000 -- pending entries: in one go, or else at a time
local gone, put_back, unlisted = 0, 0, 0 -- how many were counted already; put back; and are there still

say_lease(leases, consumer, lease_ms, now)
local said, longest = leases_of(leases, lease_ms)
local shortest_ms = idle_ms
for _, one in pairs(said) do shortest_ms = math.min(shortest_ms, one.ms) end

local function is_free(name, idle)
  if whose == 'all' then return idle >= idle_ms end
  if whose == 'unseen' and name == nobody then return true end
  return idle >= (name == consumer and idle_ms or lease_of(name, said, longest))
end

local function put_back_what_vanished()
  local vanished, more_gone, hidden = put_back_vanished(stream, records, due, leases, pending, group, now)
  gone, put_back, unlisted = gone + more_gone - hidden, put_back + vanished, unlisted + hidden
end

-- Puts back some of what is postponed and was dropped, as if its lease had ended: so it is free. Answers the
-- place where the next call goes on, or nil: how many it has looked at, the score of the last one, how many
-- of that score, and its id. If that one is not at its place any more, the next call begins again.
local function put_back_some(place)
  local seen, score, same, last = string.match(place, '^(%d+) (%S+) (%d+) (%S+)$')
  seen, same = tonumber(seen or 0), tonumber(same or 0)
  local most = whose == 'free' and math.min(most_looked_at, most_free - seen) or most_looked_at
  local skipped, first = last and same - 1 or 0, 1
  local rows = redis.call('ZRANGE', due, score or '-inf', '+inf', 'BYSCORE',
    'LIMIT', skipped, most + (last and 1 or 0), 'WITHSCORES')
  local work, back = 0, {}
  if last and rows[1] ~= last then return put_back_some('-') end
  if last then first = 3 end
  for i = first, #rows, 2 do
    local id, of_this = rows[i], rows[i + 1]
    local what, note = put_back_postponed(
      stream, group, of['last-delivered-id'], id, of_this, math.max(longest, idle_ms))
    back[#back + 1] = note
    if what == 'gone' then
      not_due(due, id)
      if note_gone(stream, records, group, id) then gone = gone + 1 end
    else
      same = of_this == score and same + 1 or 1
      score, last = of_this, id
    end
    seen, work = seen + 1, work + (what == 'pending' and 1 or put_back_cost)
    if work >= most_looked_at then break end
  end
  note_all_back(records, group, back)
  local is_all = work < most_looked_at and #rows - first + 1 < 2 * most
  if is_all or whose == 'free' and seen >= most_free then return end
  return last and string.format('%.0f %s %.0f %s', seen, score, same, last) or '-'
end

local next_place
local is_first = from == '-' or seen_to ~= ''
if from == '-' or string.find(from, ' ', 1, true) then
  put_back_given(stream, records, group)
  if from == '-' then put_back_what_vanished() end
  next_place, from = put_back_some(from), '-'
end

-- What the owner was given last, and has not seen, is pending, unless somebody removed its consumer with
-- that; or settled it, or took it from the consumer. Of what others were given this says nothing.
local function put_back_unseen()
  local read = redis.call('HGET', records, 'read ' .. group) or ''
  local read_from, upto, reader = string.match(read, '^(%S+) (%S+) (.*)$')
  if read_from ~= seen_to or reader ~= consumer then return end
  if before(of['last-delivered-id'], upto) then upto = of['last-delivered-id'] end
  local _, settled = listed_of(pending, records, group)
  local function is_known(id)
    return settled and settled[id] or is_given_up(records, group, consumer, id)
      or #redis.call('XPENDING', stream, group, id, id, 1) > 0 or redis.call('ZSCORE', due, id)
  end
  local from_id = seen_to
  repeat
    local page = range_behind(stream, from_id, upto, 100)
    for _, entry in ipairs(page) do
      local id = entry[1]
      if not is_known(id) then
        redis.call('XCLAIM', stream, group, consumer, 0, id, 'TIME', 0, 'RETRYCOUNT', 0, 'FORCE', 'JUSTID')
        note_back(records, group, id, 0)
        note_given(records, group, id)
        put_back = put_back + 1
      end
      from_id = id
    end
  until #page < 100
  redis.call('HDEL', records, 'read ' .. group) -- from now on it is pending, or settled
end

if seen_to ~= '' and before(seen_to, of['last-delivered-id']) then
  put_back_unseen()
  put_back_what_vanished() -- of others, whom the owner would leave it to
end

-- Some pending entries of which nobody has heard for long enough, and where the next ones begin ('': there
-- are none). To find such ones, Redis scans all that are pending.
local function idle_from(id)
  if of['pending'] <= most_scanned or shortest_ms == 0 then
    local rows = redis.call('XPENDING', stream, group, 'IDLE', shortest_ms, id, '+', count)
    return rows, rows[count] and '(' .. rows[count][1] or ''
  end
  local page, idle = redis.call('XPENDING', stream, group, id, '+', scanned_page), {}
  for _, row in ipairs(page) do
    if row[3] >= shortest_ms then idle[#idle + 1] = row end
    if #idle == count then return idle, '(' .. row[1] end
  end
  return idle, page[scanned_page] and '(' .. page[scanned_page][1] or ''
end

local rows = {}
if not next_place then
  rows, next_place = idle_from(from)
  -- What vanishes between two pages may be behind the place where this one begins.
  if next_place == '' and not is_first and whose ~= 'free' then put_back_what_vanished() end
end
for _, row in ipairs(rows) do
  local id, holder_name, idle, deliveries = row[1], row[2], row[3], row[4]
  local is_given_back = idle > ten_years_ms
  if is_free(holder_name, idle) then
    local entry = redis.call('XRANGE', stream, id, id)[1]
    note_taken(records, group, consumer, id, not is_given_back and holder_name or nil)
    note_given(records, group, id)
    if entry then
      local fields = entry[2]
      local due_at = redis.call('ZSCORE', due, id)
      if due_at then
        deliveries = math.max(deliveries, postponed_deliveries(due_at))
      else
        deliveries = deliveries_of_handlers(holder_name, deliveries)
      end
      redis.call('XCLAIM', stream, group, consumer, 0, id, 'RETRYCOUNT', deliveries, 'JUSTID')
      local wait_ms = math.max(0, (due_at or 0) - now)
      found[#found + 1] = {id, fields, deliveries + 1, wait_ms, is_untouched(row) and 0 or 1}
    else
      redis.call('XACK', stream, group, id)
      remember_gone(records, group, id)
      lost = lost + 1
    end
  end
end
write_reclaimed(group)
write_given()
if #found > 0 then note_reached(records, group, found[#found][1]) end
if lost > 0 then redis.call('HINCRBY', records, 'lost ' .. group, lost) end
local put_backs = put_backs_of(records, group)
return {1, of['last-delivered-id'], found, lost + gone, next_place, put_back, moved, unlisted, put_backs}
