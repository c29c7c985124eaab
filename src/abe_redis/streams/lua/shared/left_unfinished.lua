-- What a removed group has left unfinished, as far as anybody knows.
--
-- What was pending is listed about once a second, and what is settled since is noted. Behind the list (or
-- behind the floor without one), every entry up to the last one that it was given, as recorded, may be in
-- flight unless it is noted. Its position lies behind these, and behind what is noted right after them.
-- Beyond 10,000, the rest counts as new.

-- include: ids
-- include: known
-- include: listed
-- include: beside
-- include: range_behind
-- include: skipped
local most_put_back = 10000

-- What the group had pending by the list, and what became so since, in order; up to which id the list tells
-- of everything; and what is settled since. Some may lie before the floor: what waited to be due after
-- somebody had removed its consumer was not pending when that was recorded. Nil if there is no whole list.
local function unfinished_by_list(records, group, floor)
  local known = known_of(records, group)
  if not known then return end
  local text, settled, _, begun, back = listed_of(beside(records, 'pending', group), records, group)
  if not text then return end
  local ids, is_found, upto, count, last_named = {}, {}, known.position, 0, floor
  local function add(id)
    if is_found[id] or settled[id] or before(upto, id) then return end
    ids[#ids + 1], is_found[id] = id, true
  end
  for id, number in string.gmatch(text, '(%S+) (%d+) [^\n]*\n') do
    if id == '+' then
      upto, count = last_named, count + number -- there were more, which the list does not name
    else
      count, last_named = count + 1, id
      add(id)
    end
  end
  if count ~= known.pending then return end
  for id in pairs(begun) do add(id) end
  for id in pairs(back) do add(id) end
  table.sort(ids, before)
  return ids, upto, settled
end

-- The entries that it had been given and has not finished, in order, and the position behind which it was
-- given nothing: at least the floor.
local function left_unfinished(stream, records, group, floor)
  local last = redis.call('HGET', records, 'last ' .. group)
  local unfinished, position, settled = unfinished_by_list(records, group, floor)
  unfinished, settled = unfinished or {}, settled or {}
  if not position or before(position, floor) then position = floor end
  local is_skipped = skipped_of(records, group)
  local count, is_end = 0, not (last or next(settled))
  while not is_end and count < most_put_back do
    local page = range_behind(stream, position, '+', 100)
    for _, entry in ipairs(page) do
      local id = entry[1]
      is_end = not (settled[id] or last and not before(last, id))
      if is_end then break end
      if not (settled[id] or is_skipped(id)) then unfinished[#unfinished + 1] = id end
      position, count = id, count + 1
    end
    is_end = is_end or #page < 100
  end
  return unfinished, position
end
