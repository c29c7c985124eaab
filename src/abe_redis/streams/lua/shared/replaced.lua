-- A stream that is not the one that a group was recorded in: somebody put an older copy in its place (RESTORE
-- or COPY with REPLACE), or deleted it and made it again.
--
-- What lay behind the last entry that both have is gone. Of what the group had not finished by the record,
-- that is lost which the stream does not have: nobody had finished what the group had yet to be given, and
-- what was pending is listed. Entries that were counted since the list are not counted twice. Those that
-- consumers have in flight still are among the lost ones, so `note_gone` leaves them out: the records say for
-- it behind which id, and up to which, everything is counted.

-- include: beside
-- include: count_between
-- include: group_fields
-- include: ids
-- include: known
-- include: listed

-- How many entries up to this one the group had not finished, by the list of what was pending.
local function unfinished_upto(stream, records, group, known, upto)
  local text, settled = listed_of(beside(records, 'pending', group), records, group)
  if not (known and text) then return 0 end
  local count = 0
  for id in string.gmatch(text, '(%d+%-%d+) %d+ [^\n]*\n') do
    if not (settled[id] or before(upto, id)) then count = count + 1 end
  end
  if not before(known.position, upto) then return count end
  return count + count_pages(stream, known.position, upto, 10000)
end

-- Up to which id the record goes, and the last id that the group had been given by then. Since the record, it
-- may have been given what was published to the copy; ids of a foreign publisher may lie ahead of the clock.
local function end_of_record(records, group, known, last)
  local seconds = string.match(redis.call('HGET', records, 'used ' .. group) or '', '^%d+%.%d+$')
  local at = seconds and seconds * 1000 or known and known.at
  local bound = at and string.format('%.0f-18446744073709551615', at) or last
  if known and before(bound, known.position) then bound = known.position end
  if before(bound, last) then last = known and known.position or bound end
  return bound, last
end

-- The last entry that such a stream has of those from before the record (or its last id); nil if it has none:
-- then it was made anew. What came later may have been published since.
local function last_of_copy(stream, info, bound, last)
  local entry = redis.call('XREVRANGE', stream, bound, '-', 'COUNT', 1)[1]
  return entry and entry[1] or before(info['last-generated-id'], last) and info['last-generated-id'] or nil
end

-- Forgets what the records say of such a stream, and counts what is lost; `info` is what XINFO says of it as
-- it is now, if it exists. Answers how many are lost; and if it is an older copy, or looks like one, the last
-- entry that it has of what was there at the record (or its last id), the last id that the group was given,
-- and how many are lost (else '').
local function forget_replaced(stream, records, group, info, floor, unfinished)
  local known = known_of(records, group)
  local last, gone = unpack(redis.call('HMGET', records, 'last ' .. group, 'gone ' .. group))
  local bound
  bound, last = end_of_record(records, group, known, last or floor)
  local upto = info and last_of_copy(stream, info, bound, last)
  if upto then unfinished = unfinished - unfinished_upto(stream, records, group, known, upto) end
  for mark in string.gmatch(gone or '', '(-?)%d+-%d+') do
    if mark == '' then unfinished = unfinished - 1 end
  end
  local lost = math.max(0, unfinished)
  forget_group(records, group, 'deleted')
  if info then redis.call('HSET', records, 'replaced ' .. group, (upto or '0-0') .. ' ' .. last) end
  if lost > 0 then redis.call('HINCRBY', records, 'lost ' .. group, lost) end
  return lost, upto and string.format('%s %s %.0f', upto, last, lost) or ''
end
