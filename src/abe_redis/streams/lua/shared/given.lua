-- Released ("given") entries are pending under nobody's name. Somebody may remove that consumer, too. So
-- that no entry is lost then, the records hold the ids of these entries with their numbers of deliveries,
-- in one field, one per line. Every release of an entry updates the field, and so does all that leases or
-- settles such an entry: else it would be put back though somebody has finished it.

-- include: nobody
-- include: facts
-- include: ids
-- include: note_gone
-- include: put_backs
-- include: record_lines
-- include: settled
local given_lists, given_news = {}, {} -- per group of the records
local most_given = 5000 -- of so many at most the ids are kept, so that writing them stays cheap

local function given_place(records, group) return records .. ' ' .. group end

-- Keeps in mind what the field says.
local function read_given(records, group, said)
  local given = {}
  for id, deliveries in string.gmatch(said or '', '(%S+) (%d+)\n') do given[id] = deliveries end
  given_lists[given_place(records, group)] = given
end

local function given_of(records, group)
  local place = given_place(records, group)
  if not given_lists[place] then
    read_given(records, group, redis.call('HGET', records, 'given ' .. group))
  end
  return given_lists[place]
end

-- Notes that an entry was released, with its number of deliveries, or, without a number, that a consumer
-- took it, or that it is settled. `write_given` must follow.
local function note_given(records, group, id, deliveries)
  local given, count = given_of(records, group), deliveries and string.format('%.0f', deliveries)
  if given[id] == count then return end
  given[id] = count
  given_news[given_place(records, group)] = {records = records, group = group, given = given}
end

-- Writes the noted changes.
local function write_given()
  for _, one in pairs(given_news) do
    local lines = {}
    for id, deliveries in pairs(one.given) do
      if #lines == most_given then break end
      lines[#lines + 1] = id .. ' ' .. deliveries .. '\n'
    end
    record_lines(one.records, 'given ' .. one.group, lines)
  end
end

-- The number of entries pending under nobody's name; nil if somebody removed that consumer.
local function count_given(stream, group)
  local rows = redis.pcall('XINFO', 'CONSUMERS', stream, group)
  if is_absent(rows, 'XINFO CONSUMERS') then return 0 end
  for _, row in ipairs(rows) do
    local of = facts(row)
    if of['name'] == nobody then return of['pending'] end
  end
end

-- Makes released entries pending again that were dropped when somebody removed the consumer `abe:nobody`.
-- If that consumer exists and has no entry, consumers took all of them.
local function put_back_given(stream, records, group)
  local given = given_of(records, group)
  if not next(given) then return end
  local count = count_given(stream, group)
  if count and count > 0 then return end
  local of, back = not count and group_of(stream, group), {}
  for id, deliveries in pairs(given) do
    local is_dropped = of and not before(of['last-delivered-id'], id)
      and #redis.call('XPENDING', stream, group, id, id, 1) == 0
    if not is_dropped then
      note_given(records, group, id)
    elseif #redis.call('XRANGE', stream, id, id) == 0 then
      note_gone(stream, records, group, id)
      note_given(records, group, id)
    else
      redis.call('XCLAIM', stream, group, nobody, 0, id,
        'TIME', 0, 'RETRYCOUNT', deliveries, 'FORCE', 'JUSTID')
      back[#back + 1] = in_a_note(id, deliveries)
    end
  end
  note_all_back(records, group, back)
  if #back > 0 then note_put_back(records, group) end
end
