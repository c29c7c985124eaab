-- Entries of consumers that somebody removed while they held them: XGROUP DELCONSUMER drops these entries,
-- and Redis does not say which they were. A live worker puts back what it has in flight; for a dead one,
-- nobody does. So about once a second the pending entries are listed (see `list_pending`), and what is
-- begun or settled afterwards is noted (see `settled`). When a consumer has vanished, what it held is pending
-- again under nobody's name, as if just leased: if its worker is alive after all, it takes the entry back,
-- else another consumer does after a lease.
--
-- What a consumer got after the last list is recognized because it is neither pending nor settled, whether
-- it is new or was listed as somebody else's; but not if other programs, whose acks nobody notes, are
-- consumers of the group, too.
--
-- A removed consumer whose worker lives is there again with its worker's next read. Then entries are missing,
-- and nobody has vanished. What live consumers held or have begun is put back then, too: the worker would do
-- so itself with its next renewal, unless it dies before.
--
-- So it is in a group that somebody destroyed and made again at once: all its consumers have vanished.
-- Wherever it stands then, or after XGROUP SETID: what lies behind its position is new to it, and what lies
-- before is put back, unless it was set past that. Then the numbers do not tell how much is missing.

-- include: nobody
-- include: facts
-- include: ids
-- include: agents
-- include: known
-- include: list_pending
-- include: listed
-- include: missing
-- include: given
-- include: note_gone
-- include: put_backs
-- include: range_behind
-- include: skipped
local most_behind = 10000

-- The consumers of ours that are not there, or nil: they vanished, or have not read yet. Those that are there
-- and have recorded their leases lately. And whether others than ours are there.
local function vanished_of(known, leases, there, now)
  local said, vanished, live, others = leases_in(leases), {}, {}, false
  for name in pairs(nobodys) do
    if not there[name] and known.names[name] then vanished[name] = true end
  end
  for name, one in pairs(said) do
    if there[name] then
      live[name] = is_recent(one, now) or nil
    elseif known.names[name] or one.at >= known.at then
      vanished[name] = true
    end
  end
  for name in pairs(there) do others = others or not (said[name] or nobodys[name]) end
  return next(vanished) and vanished, live, others
end

-- Puts an entry back that nobody holds, if the group was given it; answers 1, and for a lost one -1.
local function put_back_one(stream, records, due, group, last, id, deliveries)
  if before(last, id) or given_of(records, group)[id] then return 0 end
  if #redis.call('XPENDING', stream, group, id, id, 1) > 0 then return 0 end
  if type(redis.pcall('ZSCORE', due, id)) == 'string' then return 0 end -- it is delivered when it is due
  names_read[stream] = nil
  local kept = redis.call('XCLAIM', stream, group, nobody, 0, id,
    'RETRYCOUNT', deliveries, 'FORCE', 'JUSTID')
  if #kept == 1 then return 1 end
  return note_gone(stream, records, group, id) and -1 or 0
end

-- The last entry that the group is known to have been given, not behind its position.
local function reached_by(records, group, known, position, ...)
  local upto = known.position
  local function reach(id)
    if before(upto, id) then upto = id end
  end
  reach(redis.call('HGET', records, 'last ' .. group) or upto)
  for _, ids in ipairs({...}) do
    for id in pairs(ids) do reach(id) end
  end
  return before(position, upto) and position or upto
end

-- Puts back what vanished; answers how many entries, how many are lost, and how many of the lost ones are in
-- the stream still, as far as is known: too many were pending to tell them from finished ones. With `quick`,
-- not if the group looks as it did when it was listed, and nothing is noted since; nor if it was listed less
-- than `quick` ms ago, because what had vanished by then was put back first. A caller that has read the facts
-- of the group gives them (`of`); so does one that has read what the records say of the list (`said`), and of
-- removed entries (`gone`).
local function put_back_vanished(stream, records, due, leases, pending, group, now, quick, of, said, gone)
  local known = said and known_in(said) or said == nil and known_of(records, group)
  if known and quick and math.abs(now - known.at) < quick then return 0, 0, 0 end
  of = known and (of or group_of(stream, group))
  if not of then return 0, 0, 0 end
  local is_set_back = before(of['last-delivered-id'], known.position)
  local is_same = of['last-delivered-id'] == known.position and of['pending'] == known.pending
  if quick and is_same and redis.pcall('HLEN', pending) == 1 then return 0, 0, 0 end -- the list alone
  local there = names_of(stream, group)
  local is_nobody_gone = not there[nobody]
  local vanished, live, others = vanished_of(known, leases, there, now)
  if not (vanished or is_set_back or may_miss(known, pending, records, group, of, gone)) then
    return 0, 0, 0
  end
  -- What was released is put back first: that nobody holds anything then is how it is known to be dropped.
  if is_nobody_gone and next(given_of(records, group)) then
    put_back_given(stream, records, group)
    write_given(group)
    of = group_of(stream, group)
  end
  local text, settled, settled_count, begun, back = listed_of(pending, records, group)
  if not text then return 0, 0, 0 end
  local count, lost, unlisted, last, is_listed = 0, 0, 0, of['last-delivered-id'], {}
  local last_listed = known.position
  local function put_back(id, deliveries)
    if settled[id] then return end
    local at_least = math.max(deliveries, begun[id] or 0)
    local what = put_back_one(stream, records, due, group, last, id, at_least)
    if what > 0 then count = count + 1 elseif what < 0 then lost = lost + 1 end
  end
  for id, deliveries, name in string.gmatch(text, '(%S+) (%d+) ([^\n]*)\n') do
    is_listed[id] = true
    local is_meant = live[name] or vanished and (vanished[name] or not others)
    if id ~= '+' then
      last_listed = id
      if is_meant then put_back(id, deliveries_of_handlers(name, tonumber(deliveries))) end
    elseif vanished and is_meant then
      unlisted = unlisted + deliveries
    end
  end
  for id in pairs(settled) do is_set_back = is_set_back or before(last, id) end -- it was set back since
  local read, missing = is_set_back and -1 or given_since(known, of), known.pending
  for id, deliveries in pairs(back) do
    if not is_listed[id] and not before(known.position, id) then missing = missing + 1 end
    if not others then put_back(id, deliveries) end
  end
  for id, deliveries in pairs(begun) do
    if not (vanished or others) then put_back(id, deliveries) end
  end
  -- If Redis does not tell how much the group was given, every entry behind the list is looked at, up to the
  -- last one that it is known to have been given: it may have been set forward since, past others.
  local upto = last
  if read >= 0 then missing = missing + read - settled_count - of['pending'] - count - lost
  else
    missing = vanished and math.huge or 0
    upto = reached_by(records, group, known, last, settled, begun)
  end
  local had, is_whole = count + lost, true
  if missing > 0 and not others then
    local is_skipped = skipped_of(records, group)
    local from, seen = read < 0 and unlisted > 0 and last_listed or known.position, 0
    repeat
      local page = range_behind(stream, from, upto, 100)
      for _, entry in ipairs(page) do
        if not is_skipped(entry[1]) then put_back(entry[1], 0) end
      end
      seen, from, is_whole = seen + #page, #page > 0 and page[#page][1], #page < 100
    until is_whole or seen >= most_behind or count + lost - had >= missing
    missing = missing - (count + lost - had)
  end
  local uncertain = math.min(missing, unlisted)
  if read < 0 then
    uncertain = is_whole and not others and 0 or math.max(0, unlisted - (count + lost - had))
  elseif not is_whole then uncertain = math.max(0, missing) end
  if uncertain > 0 then
    redis.pcall('HINCRBY', records, 'lost ' .. group, uncertain)
    noted_fields[pending] = nil
    list_pending(stream, records, leases, pending, group, group_of(stream, group), now) -- it counts once
    lost = lost + uncertain
  end
  if count > 0 then note_put_back(records, group) end
  return count, lost, math.max(0, uncertain)
end
