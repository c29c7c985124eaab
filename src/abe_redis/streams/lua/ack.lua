-- Acks entries that a consumer holds, and deletes their postponements.
--
-- If no other consumer holds anything, every pending entry belongs to the consumer, so one command acks
-- all. Otherwise one command tells which of them it holds; only the others are looked up one by one. So is
-- a single entry: to ask first who holds anything would cost as much.
--
-- KEYS  per stream: the stream, the sorted set of postponed entries, what the group has pending
-- ARGV  group, consumer, `exact` (or `own`: the same, but what is not pending under the consumer's name, as
--       it was given back, is not its own; or `by hand`: that, of a person who is not the consumer; or
--       `quick`: when some of a stream's entries are not pending, all of these may be answered as `unknown`,
--       though the others are acked); per stream: how many of its entries follow, their ids
-- Answers the place, counted from 0, of each entry that the consumer does not hold, and its relation to the
-- consumer: see `holder`.
-- flags: allow-oom

-- include: any_due
-- include: beside
-- include: given
-- include: holder
-- include: ids
-- include: settled
-- include: not_due
local group, consumer, is_quick = ARGV[1], ARGV[2], ARGV[3] == 'quick'
local first, place = 4, 0
local is_by_hand = ARGV[3] == 'by hand'
local is_by_name = is_by_hand or ARGV[3] == 'own'
local answers, page = {}, 100

-- Whether any stream has postponed entries; and whether what is pending is listed for every stream.
local function what_exists()
  if #KEYS == 3 then
    local found = redis.call('EXISTS', KEYS[2], KEYS[2], KEYS[3]) -- a key that is named twice counts twice
    return found > 1, found % 2 == 1
  end
  local lists = {}
  for i = 3, #KEYS, 3 do lists[#lists + 1] = KEYS[i] end
  return any_due(2, 3), redis.call('EXISTS', unpack(lists)) == #lists
end

local is_any_due, are_listed = what_exists()

local function ack(stream, due, pending, ids)
  if #ids == 0 then return 0 end
  if is_any_due then not_due(due, unpack(ids)) end
  if is_by_hand then
    note_given_up(records_beside(due), group, ids, {consumer})
  end
  local count = redis.call('XACK', stream, group, unpack(ids))
  if count > 0 then note_settled(pending, ids, count < #ids and '-' or nil, are_listed) end
  return count
end

-- Whether everything that is pending in a group is the consumer's.
local function is_alone(summary)
  return #(summary[4] or {}) == 1 and summary[4][1][1] == consumer
end

-- What the consumer holds between the first and the last of these entries.
local function held_among(stream, ids)
  local from, to, held = ids[1], ids[1], {}
  for _, id in ipairs(ids) do
    if before(id, from) then from = id elseif before(to, id) then to = id end
  end
  repeat
    local rows = redis.call('XPENDING', stream, group, from, to, page, consumer)
    for _, row in ipairs(rows) do held[row[1]] = true end
    if #rows > 0 then from = '(' .. rows[#rows][1] end
  until #rows < page
  return held
end

local function ack_stream(stream, due, pending, ids)
  local summary, held = #ids > 1 and redis.pcall('XPENDING', stream, group), {}
  if summary and not is_absent(summary, 'XPENDING') and summary[1] > 0 then
    if is_quick and is_alone(summary) and ack(stream, due, pending, ids) == #ids then return end
    held = held_among(stream, ids)
  end
  local ours, dropped = {}, {}
  for at, id in ipairs(ids) do
    local state, _, is_given_back = 'held', nil, false
    if not held[id] then state, _, is_given_back = holder(stream, group, consumer, id, false) end
    local is_under_name = held[id] or not is_by_name
      or #redis.call('XPENDING', stream, group, id, id, 1, consumer) > 0
    if state == 'held' and not is_under_name then state, is_given_back = 'not_held', false end
    if is_given_back then note_given(records_beside(due), group, id) end
    if state == 'held' then
      ours[#ours + 1] = id
    else
      answers[#answers + 1] = {place + at - 1, state}
      if state ~= 'not_held' then dropped[#dropped + 1] = id end
    end
  end
  ack(stream, due, pending, ours)
  note_settled(pending, dropped, '-', are_listed)
end

for i = 1, #KEYS, 3 do
  local last = first + tonumber(ARGV[first])
  ack_stream(KEYS[i], KEYS[i + 1], KEYS[i + 2], {unpack(ARGV, first + 1, last)})
  place, first = place + last - first, last + 1
end
write_given()
return answers
