-- What a person took from consumers that may have read it ahead: their workers look, let go of it, and
-- confirm that (see `confirm_given_up`). Until then, what a consumer has in flight and nobody holds is not
-- put back if it is named here.
--
-- The records hold it in one field for an hour, the newest last, one per line: a number that grows, what it
-- is, and the consumer. It is an id; `<=` with an id, for all entries up to there; or `-`, which names none:
-- the entries are gone from the stream, and the consumer shall only look.

-- include: ids
-- include: record_lines
local most_given_up, given_up_us = 1000, 3600 * 1000000

local function given_up_of(records, group)
  local found = {}
  local said = redis.call('HGET', records, 'taken ' .. group) or ''
  for at, what, name in string.gmatch(said, '(%d+) (%S+) ([^\n]*)\n') do
    found[#found + 1] = {at = tonumber(at), what = what, name = name}
  end
  return found
end

local function write_given_up(records, group, found)
  local lines = {}
  for i = math.max(1, #found - most_given_up + 1), #found do
    lines[#lines + 1] = string.format('%.0f %s %s\n', found[i].at, found[i].what, found[i].name)
  end
  record_lines(records, 'taken ' .. group, lines)
end

-- Notes what was taken from each of some consumers.
local function note_given_up(records, group, taken, names)
  if #taken * #names == 0 then return end
  local time, kept = redis.call('TIME'), {}
  local now = time[1] * 1000000 + time[2]
  local at = now
  for _, one in ipairs(given_up_of(records, group)) do
    if now - one.at < given_up_us then kept[#kept + 1], at = one, math.max(at, one.at + 1) end
  end
  for _, name in ipairs(names) do
    for _, what in ipairs(taken) do kept[#kept + 1] = {at = at, what = what, name = name} end
  end
  write_given_up(records, group, kept)
end

-- Whether an entry is named as taken from a consumer.
local function is_given_up(records, group, consumer, id)
  for _, one in ipairs(given_up_of(records, group)) do
    if one.name == consumer then
      local upto = string.match(one.what, '^<=(.*)$')
      if one.what == id or upto and not before(upto, id) then return true end
    end
  end
  return false
end

-- The number by which a consumer confirms that it has looked, from what the field says; '' if it need not.
local function last_given_up(said, consumer)
  local last = ''
  for at, name in string.gmatch(said or '', '(%d+) %S+ ([^\n]*)\n') do
    if name == consumer then last = at end
  end
  return last
end
