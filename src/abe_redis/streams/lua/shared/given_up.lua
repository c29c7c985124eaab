-- What a person took from consumers that may have read it ahead: their workers look, let go of it, and
-- confirm that (see `confirm_given_up`). Until then, what a consumer has in flight and nobody holds is not
-- put back if it is named here.
--
-- The records hold it in one field for an hour, the newest last, one step per line: a number that grows, what
-- it is, and the consumer. It is ids with commas between them; or `<=` with an id, for all entries up to
-- there. When they take too much room, the oldest go first.

-- include: ids
-- include: record_lines
local most_given_up_bytes, given_up_us = 512 * 1024, 3600 * 1000000
local given_up_texts, given_up_sets = {}, {} -- per group of the records; per consumer, too

local function given_up_of(records, group)
  local key = records .. '\n' .. group
  if not given_up_texts[key] then
    given_up_texts[key] = redis.call('HGET', records, 'taken ' .. group) or ''
  end
  return given_up_texts[key]
end

local function write_given_up(records, group, said)
  given_up_texts[records .. '\n' .. group], given_up_sets = said, {}
  record_lines(records, 'taken ' .. group, said == '' and {} or {said})
end

-- Notes what was taken from consumers, by their names: ids, or `<=` with one.
local function note_given_up_by(records, group, taken)
  local time, said, lines = redis.call('TIME'), given_up_of(records, group), {}
  local now = time[1] * 1000000 + time[2]
  local newest = tonumber(string.match('\n' .. said, '.*\n(%d+) [^\n]*\n$') or 0)
  for name, ids in pairs(taken) do
    local line = string.format('%.0f %s %s\n', math.max(now, newest + 1), table.concat(ids, ','), name)
    if not string.find(name, '\n', 1, true) then lines[#lines + 1] = line end -- else it is none of ours
  end
  if #lines == 0 then return end
  local added, first = table.concat(lines), 1
  while first <= #said do
    local at, following = string.match(said, '^(%d*)[^\n]*\n()', first)
    local is_young = now - (tonumber(at) or 0) < given_up_us
    if is_young and #said + 1 - first + #added <= most_given_up_bytes then break end
    first = following or #said + 1
  end
  write_given_up(records, group, string.sub(said, first) .. added)
end

-- Notes that the same was taken from each of some consumers.
local function note_given_up(records, group, ids, names)
  local taken = {}
  for _, name in ipairs(#ids > 0 and names or {}) do taken[name] = ids end
  note_given_up_by(records, group, taken)
end

-- What was taken from a consumer: a set of ids, and the last id up to which it is everything, if any.
local function given_up_by(records, group, consumer)
  local key = records .. '\n' .. group .. '\n' .. consumer
  if given_up_sets[key] then return given_up_sets[key] end
  local found = {ids = {}}
  for what, name in string.gmatch(given_up_of(records, group), '%d+ (%S+) ([^\n]*)\n') do
    if name == consumer then
      local upto = string.match(what, '^<=(.*)$')
      if upto and not (found.upto and before(upto, found.upto)) then found.upto = upto end
      for id in string.gmatch(what, '[^,]+') do found.ids[id] = true end
    end
  end
  given_up_sets[key] = found
  return found
end

-- Whether an entry is named as taken from a consumer.
local function is_given_up(records, group, consumer, id)
  local by = given_up_by(records, group, consumer)
  return by.ids[id] == true or by.upto ~= nil and not before(by.upto, id)
end

-- The number by which a consumer confirms that it has looked, from what the field says; '' if it need not.
local function last_given_up(said, consumer)
  local last = ''
  if not string.find(said or '', ' ' .. consumer .. '\n', 1, true) then return last end
  for at, name in string.gmatch(said, '(%d+) %S+ ([^\n]*)\n') do
    if name == consumer then last = at end
  end
  return last
end
