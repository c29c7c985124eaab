-- Entries that another consumer reclaimed: it took them before their holder had released them.
-- If nobody holds an entry that a consumer has in flight, and no other consumer took it, then nobody can
-- have finished it. It was dropped when somebody removed the consumer, even if the consumer exists again.
-- If an entry was taken from under nobody's name, its former holder is unknown: `abe:nobody` then stands
-- for every consumer but the present holder. A consumer that gets the entry again is its holder once
-- more.
--
-- The records hold them in one field, the newest last, one per line. Of older ones only the last id of each
-- consumer is kept, behind a `-`: such a consumer may have lost any entry up to that one.

-- include: ids
-- include: nobody
-- include: record_lines
local most_reclaimed, most_reclaimed_ids, reclaimed_seconds = 1000, 200, 7 * 86400
local reclaimed_lists, reclaimed_by_id, is_news = {}, {}, {} -- per records
local may_have_lost = {} -- per records and consumer; what is noted in between does not change it

local function add_reclaimed(records, one)
  local by_id = reclaimed_by_id[records]
  table.insert(reclaimed_lists[records], one)
  by_id[one.id] = by_id[one.id] or {}
  table.insert(by_id[one.id], one)
end

local function reclaimed_of(records, group)
  if reclaimed_lists[records] then return reclaimed_lists[records] end
  reclaimed_lists[records], reclaimed_by_id[records] = {}, {}
  local lines = redis.call('HGET', records, 'reclaimed ' .. group) or ''
  for at, id, name in string.gmatch(lines, '(%d+) (%S+) ([^\n]*)\n') do
    local taker = string.match(name, '^' .. nobody .. ' (.*)$')
    local one = {at = tonumber(at), id = id, name = taker and nobody or name, taker = taker}
    one.upto = string.match(id, '^%-(.*)$') -- '': any entry
    add_reclaimed(records, one)
  end
  return reclaimed_lists[records]
end

-- Whether an id is among those up to another one; '' stands for any id.
local function is_among(id, upto)
  return upto ~= nil and (upto == '' or id ~= '' and not before(upto, id))
end

local function is_from(one, consumer)
  return one.name == consumer or one.name == nobody and one.taker ~= consumer
end

-- Up to which id a consumer may have lost any entry, by what is kept of older ones; nil: it has lost none.
local function may_have_lost_to(records, group, consumer)
  local key, furthest = records .. '\n' .. consumer, nil
  if may_have_lost[key] ~= nil then return may_have_lost[key] or nil end
  for _, one in ipairs(reclaimed_of(records, group)) do
    local is_further = one.upto and not is_among(one.upto, furthest)
    if is_further and is_from(one, consumer) then furthest = one.upto end
  end
  may_have_lost[key] = furthest or false
  return furthest
end

-- Whether another consumer certainly took an entry from this one; and whether one may have.
local function was_reclaimed(records, group, consumer, id)
  reclaimed_of(records, group)
  for _, one in ipairs(reclaimed_by_id[records][id] or {}) do
    if is_from(one, consumer) then return true, true end
  end
  return false, is_among(id, may_have_lost_to(records, group, consumer))
end

-- Notes that a consumer took an entry, from its holder (nil if it was released); `write_reclaimed` must
-- follow.
local function note_taken(records, group, consumer, id, holder)
  reclaimed_of(records, group)
  for _, one in ipairs(reclaimed_by_id[records][id] or {}) do
    if one.name == consumer then one.is_over, is_news[records] = true, true end
    if one.name == nobody and one.taker ~= consumer then one.taker, is_news[records] = consumer, true end
  end
  if not holder or holder == consumer then return end
  local taker = holder == nobody and consumer or nil
  add_reclaimed(records, {at = tonumber(redis.call('TIME')[1]), id = id, name = holder, taker = taker})
  is_news[records] = true
end

-- Writes the noted changes.
local function write_reclaimed(group)
  local now = tonumber(redis.call('TIME')[1])
  for records in pairs(is_news) do
    local all, kept, is_said, lines = reclaimed_lists[records], {}, {}, {}
    local function keep(one, upto)
      local who = one.name .. (one.taker and ' ' .. one.taker or '')
      local key = (upto and '-' or one.id) .. ' ' .. who
      local said = is_said[key]
      if said then
        if upto and said.upto ~= '' and is_among(said.upto, upto) then said.upto = upto end
      elseif #kept < most_reclaimed then
        is_said[key] = {at = one.at, id = one.id, upto = upto, who = who}
        kept[#kept + 1] = is_said[key]
      end
    end
    for at = #all, 1, -1 do
      local one, is_old = all[at], #all - at >= most_reclaimed_ids
      if not one.is_over and now - one.at < reclaimed_seconds then
        keep(one, one.upto or is_old and one.id or nil)
      end
    end
    for at = #kept, 1, -1 do
      local one = kept[at]
      local id = one.upto and '-' .. one.upto or one.id
      lines[#lines + 1] = string.format('%.0f %s %s\n', one.at, id, one.who)
    end
    record_lines(records, 'reclaimed ' .. group, lines)
  end
end
