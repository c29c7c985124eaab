-- Lists the pending entries of a group and its consumers, so that `vanished` can tell what somebody dropped
-- with a consumer. What vanished since the last list must be put back before.
--
-- A server without memory keeps the list, too, if the script has written something before.

-- include: facts
-- include: known
-- include: note_gone
local most_listed, kept_ms, least_ms = 3000, 7 * 24 * 3600 * 1000, 400
local listed = 0 -- entries, by which a script tells that it has done enough for one call

local function list_pending(stream, records, leases, pending, group, of, now)
  local known = known_of(records, group)
  if known and math.abs(now - known.at) < least_ms then return end
  redis.call('HDEL', records, 'known ' .. group)
  if type(redis.pcall('HLEN', pending)) == 'number' then redis.call('PEXPIRE', pending, 0) end
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
    lines[#lines + 1] = string.format('%s %.0f %s\n', id, deliveries, name)
  end
  for name, more in pairs(left) do
    if more > 0 then lines[#lines + 1] = string.format('+ %.0f %s\n', more, name) end
  end
  if type(redis.pcall('HSET', pending, '', table.concat(lines))) ~= 'number' then return end
  redis.call('PEXPIRE', pending, kept_ms)
  local there, names = names_of(stream, group), {}
  for name, one in pairs(leases_in(leases)) do
    if is_recent(one, now) then there[name] = true end
  end
  for name in pairs(there) do
    if not string.find(name, '\n') then names[#names + 1] = name .. '\n' end
  end
  local said = string.format('%s %.0f %.0f %.0f\n',
    of['last-delivered-id'], count, of['entries-read'] or -1, now)
  redis.pcall('HSET', records, 'known ' .. group, said .. table.concat(names))
  age_gone(records, group)
end
