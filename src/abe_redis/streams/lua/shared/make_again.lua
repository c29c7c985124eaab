-- Makes a removed group again, at the last id that it was given. Entries between its floor and that id may
-- be in flight. They become pending under nobody's name, as if just leased: a consumer that has one takes
-- it back with its next renewal, and the others go to any consumer after a lease. Beyond 10,000 such
-- entries, the rest is delivered as if it were new.

-- include: make_group
-- include: ids
-- include: holder
local most_put_back = 10000

-- `entries_read` is the number of entries before the floor, if known. Answers Redis's error, if any, and
-- how many entries were put back.
local function make_again(stream, records, group, floor, entries_read)
  local last = redis.call('HGET', records, 'last ' .. group)
  local put_back, from = {}, '(' .. floor
  while last and #put_back < most_put_back do
    local page = redis.call('XRANGE', stream, from, last, 'COUNT', 100)
    if #page == 0 then break end
    for _, entry in ipairs(page) do put_back[#put_back + 1] = entry[1] end
    from = '(' .. put_back[#put_back]
  end
  local position = floor
  if #put_back > 0 then position, entries_read = put_back[#put_back], nil end
  local made = make_group(stream, records, group, position, entries_read)
  if made.err then return made, 0 end
  for _, id in ipairs(put_back) do
    redis.call('XCLAIM', stream, group, nobody, 0, id, 'RETRYCOUNT', 0, 'FORCE', 'JUSTID')
  end
  return nil, #put_back
end
