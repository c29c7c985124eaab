-- Leases entries whose lease has expired, that were released, or whose delay has passed.
--
-- XCLAIM answers nothing for an entry that was removed, and forgets it: the entry is lost. A postponed
-- entry is taken when it is due, however long it is idle; a lease after it was postponed, it is pending under
-- nobody's name, where it hides no other. An entry that a handler had before may have killed the handler, so
-- only a few others are taken along with it. An entry that is due and that nobody holds was dropped when
-- somebody removed the consumer that had postponed it. A lease lasts as long as its holder has recorded,
-- whatever the leases of the taker.
--
-- One call does a limited amount of work, and takes 100 entries at most. Redis scans all pending entries of
-- a holder to find idle ones. If there are many, a call looks at one page of them and says where the next
-- page begins. Each call looks at some of the postponed ones under nobody's name, too: one may have lost its
-- time.
--
-- KEYS  per stream: the stream, its records, the sorted set of postponed entries, consumers' records of
--       their leases, what the group has pending
-- ARGV  group, consumer, its lease in ms, how many entries to take at most if a handler had one of them
--       before, how many if no handler had any, 1 if their deliveries begin now (0: `hold` counts them
--       later), for how many ms a list of what is pending is recent: see `vanished`, 1 if a blocking read of
--       the consumer may be under way (else 0); per stream: the place that the last call answered ('-': the
--       first)
-- Answers the entries, each with its stream, id, fields, number of deliveries, and 1 if a handler may have
-- begun it (else 0); the stream of each lost entry; for each stream that it looked at, the first of
-- them, its place: '' when nothing is pending; else the next call begins there, which can wait if the place
-- begins with '-'; it begins with '(' when another page follows, and otherwise when the call found enough to
-- take or to put under nobody's name; streams, each with how many entries it put back; and streams, each with
-- how many more are lost although they are in the stream still: see `vanished`.

-- include: clock
-- include: agents
-- include: untouched
-- include: facts
-- include: ids
-- include: leases
-- include: given
-- include: put_back_postponed
-- include: note_gone
-- include: not_due
-- include: any_due
-- include: reclaimed
-- include: vanished
-- include: reached
-- include: taken_over
local group, consumer, lease_ms = ARGV[1], ARGV[2], tonumber(ARGV[3])
local most_with_redelivered, limit, counted = tonumber(ARGV[4]), math.min(100, tonumber(ARGV[5])), ARGV[6]
local recent_ms, is_beside_read = tonumber(ARGV[7]), ARGV[8] == '1'
local now = now_ms()
local taken, lost, looked, put_back, unlisted = {}, {}, {}, {}, {}
local most_scanned, page = 10000, 1000 -- pending entries: in one go, or else at a time
local most_holders, most_idle = 300, 200
local work, most_work = 0, 1000 -- microseconds, roughly

local is_any_due = any_due(3, 5)

-- Takes a pending entry, from its holder (nil if it was released); answers false once enough are taken.
local function take(stream, records, pending, holder)
  local id, deliveries = pending[1], pending[4]
  if deliveries > 0 and #taken < limit then
    limit = math.max(most_with_redelivered, math.min(limit, #taken))
  end
  if #taken >= limit then return false end
  local entry = redis.call('XCLAIM', stream, group, consumer, 0, id, 'RETRYCOUNT', deliveries + counted)[1]
  work = work + 10
  note_given(records, group, id)
  if entry then
    local fields = entry[2]
    taken[#taken + 1] = {stream, id, fields, deliveries + 1, is_untouched(pending) and 0 or 1}
    note_taken(records, group, consumer, id, holder)
  else
    redis.call('HINCRBY', records, 'lost ' .. group, 1)
    remember_gone(records, group, id)
    lost[#lost + 1] = stream
  end
  return true
end

-- Makes a due entry pending again that nobody holds, if the group was given it; answers its row.
local function put_back_due(stream, records, id, score)
  local last = group_of(stream, group)['last-delivered-id']
  local what, note = put_back_postponed(stream, group, last, id, score, 0)
  note_all_back(records, group, {note})
  if what == 'gone' and note_gone(stream, records, group, id) then lost[#lost + 1] = stream end
  return what == 'back' and {id, nobody, 0, 0} or nil
end

local function take_due(stream, due, records)
  local ids = redis.call('ZRANGE', due, '-inf', now, 'BYSCORE', 'LIMIT', 0, limit - #taken, 'WITHSCORES')
  for i = 1, #ids, 2 do
    local id, deliveries = ids[i], postponed_deliveries(ids[i + 1])
    local rows = redis.pcall('XPENDING', stream, group, id, id, 1)
    if is_absent(rows, 'XPENDING') then return end
    local row = rows[1] or put_back_due(stream, records, id, ids[i + 1])
    if row then row[4] = math.max(row[4], deliveries) end
    local holder = not rows[1] and nobody or nil -- whose it was is not known
    if not row or take(stream, records, row, holder) then not_due(due, id) end
  end
end

-- Each holder of pending entries with its lease duration; that duration, if all have the same; and how many
-- entries they hold. Postponed ones under nobody's name are not among them.
local function holders_of(summary, said, longest, postponed)
  local holders, common, count = {}, nil, 0
  for _, row in ipairs(summary[4]) do
    local ms = lease_of(row[1], said, longest)
    if postponed == 0 or row[1] ~= nobody_yet then
      holders[#holders + 1] = {name = row[1], ms = ms}
      count = count + row[2]
    end
    if not common then common = ms elseif ms ~= common then common = false end
  end
  return holders, #holders == #summary[4] and common, count
end

-- Up to `count` pending entries whose lease has expired, oldest first. If leases differ, each holder is
-- asked about on its own, so that many holders of long leases do not hide one of a short lease.
local function idle_rows(stream, holders, common, count)
  if common then return redis.call('XPENDING', stream, group, 'IDLE', common, '-', '+', count) end
  local found = {}
  for _, holder in ipairs(holders) do
    local left = count - #found
    if left == 0 then break end
    local rows = redis.call('XPENDING', stream, group, 'IDLE', holder.ms, '-', '+', left, holder.name)
    for _, row in ipairs(rows) do found[#found + 1] = row end
  end
  table.sort(found, function(a, b) return before(a[1], b[1]) end)
  return found
end

-- Takes the entries of these rows that may be taken; if it stops early, answers the id at which it stopped.
-- What is postponed does not stay with its holder, so that it hides nothing that the holder leaves behind.
local function take_all(stream, due, records, rows, postponed)
  local words, stopped = {'XCLAIM', stream, group, nobody_yet, 0}, nil
  for _, row in ipairs(rows) do
    local id, holder = row[1], row[2]
    local is_postponed = postponed > 0 and redis.call('ZSCORE', due, id)
    if not is_postponed then row[4] = deliveries_of_handlers(holder, row[4]) end
    if is_postponed then
      if holder ~= nobody_yet then words[#words + 1] = id end
    elseif not take(stream, records, row, row[3] <= ten_years_ms and holder or nil) then
      stopped = id
      break
    end
  end
  if #words > 5 then
    work = work + 5 * #words
    for _, word in ipairs({'IDLE', 0, 'JUSTID'}) do words[#words + 1] = word end
    redis.call(unpack(words))
  end
  return stopped
end

-- Takes from one page of a holder's entries. Answers how much of the page that was, and where it continues
-- with this holder, if there may be more.
local function take_of(stream, due, records, postponed, holder, from, count)
  local rows, idle = redis.call('XPENDING', stream, group, from, '+', count, holder.name), {}
  local next_page = #rows == count and '(' .. rows[count][1] or nil
  for _, row in ipairs(rows) do
    if #idle == most_idle then
      next_page = row[1]
      break
    end
    if row[3] >= holder.ms then idle[#idle + 1] = row end
  end
  work = work + #rows + 10
  return #rows + 2 * #idle + 10, take_all(stream, due, records, idle, postponed) or next_page
end

-- The same for one holder after the other, one page in all. Answers where it continues, and a mark of the
-- holder: a name can be anything.
local function take_page(stream, due, records, postponed, holders, from, mark)
  local at, left = 1, page
  for i, holder in ipairs(holders) do
    if redis.sha1hex(holder.name) == mark then at = i end
  end
  if not holders[at] or redis.sha1hex(holders[at].name) ~= mark then from = '-' end
  while holders[at] and left > 0 do
    local part, next_page = take_of(stream, due, records, postponed, holders[at], from, left)
    if next_page then return next_page, redis.sha1hex(holders[at].name) end
    at, left, from = at + 1, left - part, '-'
  end
  if holders[at] then return '(0-0', redis.sha1hex(holders[at].name) end
  return '-', ''
end

-- Answers the place: where to continue, where among the postponed entries under nobody's name, and a mark of
-- the holder.
local function take_idle(stream, due, records, leases, postponed, place)
  local summary = redis.pcall('XPENDING', stream, group)
  if is_absent(summary, 'XPENDING') or summary[1] == 0 then return '' end
  local said, longest = leases_of(leases, lease_ms)
  local holders, common, held = holders_of(summary, said, longest, postponed)
  local from, yet, mark = string.match(place, '^(%S+) (%S+) (%S*)$')
  if held <= most_scanned and #holders <= most_holders then
    local count = math.min(most_idle, limit - #taken + postponed)
    work = work + held / 10 + count / 3
    local rows = idle_rows(stream, holders, common, count)
    local stopped = take_all(stream, due, records, rows, postponed)
    from, mark = not stopped and #rows == most_idle and '0-0' or '-', ''
  else
    from, mark = take_page(stream, due, records, postponed, holders, from or '-', mark or '')
  end
  if held < summary[1] and from == '-' then
    local those = {name = nobody_yet, ms = longest}
    yet = select(2, take_of(stream, due, records, postponed, those, yet or '-', most_idle))
  end
  yet = yet or '-'
  return from == '-' and yet == '-' and '-' or table.concat({from, yet, mark}, ' ')
end

-- Notes what was taken of a stream that handlers had begun before: see `taken_over`.
local function note_begun_before(records, first)
  local ids = {}
  for at = first, #taken do
    if taken[at][4] > 1 then ids[#ids + 1] = taken[at][2] end
  end
  if #ids > 0 then note_taken_over(records, group, consumer, ids, now) end
end

-- The last id of what was taken of a stream.
local function furthest_of(first)
  local furthest = taken[first][2]
  for at = first + 1, #taken do
    if before(furthest, taken[at][2]) then furthest = taken[at][2] end
  end
  return furthest
end

for i = 1, #KEYS, 5 do
  if #taken >= limit or work >= most_work then break end
  local stream, records, due, leases, pending = unpack(KEYS, i, i + 4)
  say_lease(leases, consumer, lease_ms, now)
  local given, known, last = unpack(redis.call('HMGET', records,
    'given ' .. group, 'known ' .. group, 'last ' .. group))
  local had = #taken
  read_given(records, group, given)
  if given then -- what it puts back may change the records
    put_back_given(stream, records, group)
    known = nil
  end
  local count, gone, hidden = put_back_vanished(
    stream, records, due, leases, pending, group, now, recent_ms, nil, known)
  if count > 0 then put_back[#put_back + 1], put_back[#put_back + 2] = stream, count end
  if hidden > 0 then unlisted[#unlisted + 1], unlisted[#unlisted + 2] = stream, hidden end
  for _ = 1, gone - hidden do lost[#lost + 1] = stream end
  local postponed = is_any_due and redis.call('ZCARD', due) or 0
  if postponed > 0 then take_due(stream, due, records) end
  looked[#looked + 1] = take_idle(stream, due, records, leases, postponed, ARGV[8 + (i + 4) / 5])
  if #taken > had then note_reached(records, group, furthest_of(had + 1), last) end
  if is_beside_read then note_begun_before(records, had + 1) end
  work = work + 10
end
write_reclaimed(group)
write_given()
return {taken, lost, looked, put_back, unlisted}
