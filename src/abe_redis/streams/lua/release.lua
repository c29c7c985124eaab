-- Releases entries, so that the next consumer takes them; removes the consumer from each group in which it
-- then holds nothing, unless it stays. A missing stream or group is skipped.
--
-- A consumer whose entries others reclaimed must stay while it has more to say of them: when it is not there,
-- `holder` takes it for removed by somebody, together with what it held.
--
-- The entries are then pending under nobody's name, so that they are not lost when somebody removes the
-- consumer.
--
-- KEYS  per stream: the stream, its records, the sorted set of postponed entries, consumers' records of their
--       leases, what the group has pending
-- ARGV  group, consumer, `all` (asks also for unseen entries from a read whose answer was lost) or `these`,
--       how many deliveries such a read counted, `stays`, `drains` (the consumer leaves the groups in which
--       it holds nothing) or `leaves` (it also has nothing in flight then), `ask` or `confirm`: see `again`;
--       per known entry: its stream, its id, its new number of deliveries (below 0: keep it), 1 if the
--       consumer has it in flight and its lease certainly lasts, 0 if its lease may be over, else -1. An
--       entry in flight is put back if somebody dropped it.
-- Answers how many were released; stream, id and number of deliveries of each entry that is released, too,
-- if the sender confirms; stream and id of each entry that is counted as lost, since its stream no longer has
-- it.
-- flags: allow-oom

-- include: untouched
-- include: holder
-- include: given
-- include: again
-- include: known
-- include: settled
-- include: clock
-- include: taken_over
local group, consumer, everything, counted = ARGV[1], ARGV[2], ARGV[3] == 'all', ARGV[4]
local stays, leaves, is_confirmed = ARGV[5] == 'stays', ARGV[5] == 'leaves', ARGV[6] == 'confirm'
local released, again, lost, now = 0, {}, {}, now_ms()
local deliveries_of, in_hand_of = {}, {} -- per stream: by id; and in their order, each with `sure`

for i = 7, #ARGV, 4 do
  local stream, id, deliveries, lease = ARGV[i], ARGV[i + 1], tonumber(ARGV[i + 2]), ARGV[i + 3]
  deliveries_of[stream] = deliveries_of[stream] or {}
  deliveries_of[stream][id] = deliveries
  in_hand_of[stream] = in_hand_of[stream] or {}
  if lease ~= '-1' then table.insert(in_hand_of[stream], {id = id, sure = lease == '1'}) end
end

-- Whether an entry under nobody's name may be in flight: it was not released.
local function may_be_in_flight(stream)
  local rows = redis.call('XPENDING', stream, group, '-', '+', 100, nobody)
  for _, row in ipairs(rows) do
    if row[3] <= ten_years_ms then return true end
  end
  return #rows == 100
end

-- Whether another consumer has an entry of a stream, which may be in flight.
local function others_hold(stream)
  for _, row in ipairs(redis.call('XINFO', 'CONSUMERS', stream, group)) do
    local of = facts(row)
    local holds = of['name'] ~= consumer and of['pending'] > 0
    if holds and (of['name'] ~= nobody or may_be_in_flight(stream)) then return true end
  end
  return false
end

local function release(stream, records, id, deliveries, is_dropped)
  if deliveries < 0 then return end
  local force = is_dropped and 'FORCE' or 'JUSTID' -- a repeated word does no harm
  local kept = redis.call('XCLAIM', stream, group, nobody, 0, id,
    'TIME', 0, 'RETRYCOUNT', deliveries, 'JUSTID', force)
  note_given(records, group, id, #kept > 0 and deliveries or nil)
  if #kept == 0 then
    note_gone(stream, records, group, id)
  else
    if is_dropped then note_back(records, group, id, deliveries) end
  end
  released = released + 1
end

local function ask_for(stream, id, deliveries)
  for _, word in ipairs({stream, id, deliveries}) do again[#again + 1] = word end
end

-- An unknown entry was never delivered, so the read that fetched it does not count. One that the consumer
-- took over beside that read keeps its count. A postponed or released one was delivered before: its count and
-- its time stay as they are.
local function ask_for_unknown(stream, records, due, pending)
  local id, idle, deliveries = pending[1], pending[3], pending[4]
  if idle > ten_years_ms or redis.call('ZSCORE', due, id) then return end
  local keeps = counted == '1' and may_be_taken_over(records, group, consumer, id, now - idle)
  ask_for(stream, id, keeps and deliveries or math.max(0, deliveries - counted))
end

local function release_all(stream, records, due, known)
  local from, rows = '-'
  repeat
    rows = redis.call('XPENDING', stream, group, from, '+', 100, consumer)
    for _, row in ipairs(rows) do
      local id = row[1]
      if known[id] then
        release(stream, records, id, known[id])
      else
        ask_for_unknown(stream, records, due, row)
      end
    end
    if #rows > 0 then from = '(' .. rows[#rows][1] end
  until #rows == 0
end

local function release_known(stream, records, known)
  for id, deliveries in pairs(known) do
    local row = redis.call('XPENDING', stream, group, id, id, 1, consumer)[1]
    if row then release(stream, records, id, deliveries) end
  end
end

local function release_dropped(stream, records, known, in_hand)
  for _, one in ipairs(in_hand) do
    local state = holder(stream, group, consumer, one.id, one.sure, records, true)
    if state == 'dropped' and not is_confirmed then
      ask_for(stream, one.id, known[one.id])
    elseif state == 'dropped' then
      release(stream, records, one.id, known[one.id], true)
    elseif state == 'deleted' and note_gone(stream, records, group, one.id) then
      lost[#lost + 1], lost[#lost + 2] = stream, one.id
    end
  end
end

for i = 1, #KEYS, 5 do
  local stream, records, due, leases = KEYS[i], KEYS[i + 1], KEYS[i + 2], KEYS[i + 3]
  local known = deliveries_of[stream] or {}
  local held, asked = redis.pcall('XPENDING', stream, group, '-', '+', 1, consumer), #again
  if not is_absent(held, 'XPENDING') then
    put_back_given(stream, records, group)
    release_dropped(stream, records, known, in_hand_of[stream] or {})
    if #held > 0 then
      if everything then
        release_all(stream, records, due, known)
      else
        release_known(stream, records, known)
      end
    end
    if leaves and not others_hold(stream) then redis.pcall('HDEL', records, 'last ' .. group) end
    local is_done = not stays and #again == asked
    if is_done and #redis.call('XPENDING', stream, group, '-', '+', 1, consumer) == 0 then
      redis.call('XGROUP', 'DELCONSUMER', stream, group, consumer)
      note_left(records, group, consumer)
      redis.pcall('HDEL', leases, consumer)
      redis.call('HSET', records, 'used ' .. group, redis.call('TIME')[1])
    end
  end
end
write_given()
return {released, again, lost}
