-- Whether entries of a group may be missing from its pending entries, by numbers alone: how many were listed
-- (see `list_pending`), how many the group was given since, and how many are noted beside the list (see
-- `settled`). Too many answers cost a closer look (see `vanished`), or keep entries until the next list (see
-- `trim`), and nothing else.

local noted_fields = {} -- per key of what is pending

-- How many entries the group was given since the list, or -1 if that is unknown: also where Redis tells a
-- number that does not fit the position, as somebody chose both.
local function given_since(known, of)
  local read = of['entries-read']
  local given = read and known.read >= 0 and read - known.read or -1
  return given == 0 and of['last-delivered-id'] ~= known.position and -1 or given
end

-- The names of the fields say how many ids each has. To who may not read them, anything may be missing; so it
-- may when Redis does not tell how much the group was given: after XGROUP SETID, or when the group was made
-- again.
-- A caller that has read what the records say of removed entries gives it (`gone`).
local function may_miss(known, pending, records, group, of, gone)
  local fields, given = noted_fields[pending] or redis.pcall('HKEYS', pending), given_since(known, of)
  noted_fields[pending] = not fields.err and fields or nil
  if fields.err or given < 0 then return true end
  local expected = known.pending + given
  for _, field in ipairs(fields) do
    local mark, count = string.sub(field, 1, 1), tonumber(string.match(field, ' (%d+)$') or 0)
    if mark == '+' then expected = expected + count
    elseif mark ~= '=' and mark ~= '-' then expected = expected - count end
  end
  if gone == nil then gone = redis.call('HGET', records, 'gone ' .. group) end
  for mark in string.gmatch(gone or '', '(-?)%d+-%d+') do
    if mark == '' then expected = expected - 1 end
  end
  return expected > of['pending']
end
