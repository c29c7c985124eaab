-- Lists the pending entries of a group and its consumers, so that `vanished` can tell what somebody dropped
-- with a consumer. What vanished since the last list must be put back before.
--
-- A server without memory keeps the list, too, if the script has written something before. The list outlives
-- a bot that is switched off for some months, and expires then, as nobody may ever remove it.

-- include: facts
-- include: known
-- include: missing
-- include: note_gone
local most_listed, kept_ms = 3000, 90 * 24 * 3600 * 1000
local renew_ms, most_removed_one_by_one = 3600 * 1000, 1000
local listed = 0 -- entries, by which a script tells that it has done enough for one call

-- The name of a consumer as the list has it: in one line, also if that is another program's strange name.
local function in_a_line(name) return (string.gsub(name, '\n', '\r')) end

-- What is to be listed: the text of the list, what the records say of it, the oldest entry and how many there
-- are.
local function read_pending(stream, leases, group, of, now)
  local rows, lines, left = {}, {}, {}
  if of['pending'] > 0 then rows = redis.call('XPENDING', stream, group, '-', '+', most_listed) end
  local count = #rows
  listed = listed + count
  if count == most_listed then -- there may be more
    local summary = redis.call('XPENDING', stream, group)
    count = summary[1]
    for _, row in ipairs(summary[4]) do left[row[1]] = tonumber(row[2]) end
  end
  for _, row in ipairs(rows) do
    local id, name, deliveries = row[1], row[2], row[4]
    if left[name] then left[name] = left[name] - 1 end
    lines[#lines + 1] = string.format('%s %.0f %s\n', id, deliveries, in_a_line(name))
  end
  for name, more in pairs(left) do
    if more > 0 then lines[#lines + 1] = string.format('+ %.0f %s\n', more, in_a_line(name)) end
  end
  local there, names = {}, {}
  for name in pairs(names_of(stream, group)) do there[name] = true end
  for name, one in pairs(leases_in(leases)) do
    if is_recent(one, now) then there[name] = true end
  end
  for name in pairs(there) do
    names[#names + 1] = in_a_line(name) .. '\n'
  end
  local said = string.format('%s %.0f %.0f %.0f\n',
    of['last-delivered-id'], count, of['entries-read'] or -1, now)
  return {
    text = table.concat(lines), said = said .. table.concat(names), count = count,
    oldest = rows[1] and rows[1][1],
  }
end

-- Removes what is noted beside a list; answers whether the list is there still.
local function remove_notes(pending)
  local fields, notes = noted_fields[pending], {}
  for _, field in ipairs(fields or {}) do
    if field ~= '' then notes[#notes + 1] = field end
  end
  if fields and #notes == #fields - 1 and #notes <= most_removed_one_by_one then
    if #notes > 0 then redis.call('HDEL', pending, unpack(notes)) end
    return true
  end
  if fields or type(redis.pcall('HLEN', pending)) == 'number' then redis.call('PEXPIRE', pending, 0) end
  return false
end

-- Writes the list in place of the one of which the records said `former` (nil: there is none); answers
-- whether it is written. Its time to live is renewed once an hour.
local function write_list(pending, list, former, now)
  local is_there = remove_notes(pending) and former
  if not (is_there and former.pending + list.count == 0) then
    if type(redis.pcall('HSET', pending, '', list.text)) ~= 'number' then return false end
  end
  local is_renewed = is_there and math.floor(former.at / renew_ms) == math.floor(now / renew_ms)
  if not is_renewed then redis.call('PEXPIRE', pending, kept_ms) end
  return true
end

local function list_pending(stream, records, leases, pending, group, of, now)
  local list = read_pending(stream, leases, group, of, now)
  redis.call('HDEL', records, 'known ' .. group, 'skipped ' .. group)
  if not write_list(pending, list, nil, now) then return end
  redis.pcall('HSET', records, 'known ' .. group, list.said)
  age_gone(records, group)
end
