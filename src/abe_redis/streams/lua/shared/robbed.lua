-- Which entries others took from which consumers of a group that had not given them back. Where nobody holds
-- what a consumer has in hand, and nobody took it from there, nobody can have finished it: it was dropped,
-- when somebody removed the consumer, though the consumer may be there again since. Whose entries were taken
-- from under nobody's name is not known, so `abe:nobody` stands for everybody.
--
-- The records have them in one field, the newest last, a line each. Of the older ones only the consumer is
-- kept, with `-` in place of the id: it may have lost anything then.

local most_robbed, most_robbed_ids, robbed_seconds = 1000, 200, 7 * 86400
local robbed_lists, is_news = {}, {} -- per records

local function robbed_of(records, group)
  if robbed_lists[records] then return robbed_lists[records] end
  local listed = {}
  local lines = redis.call('HGET', records, 'robbed ' .. group) or ''
  for at, id, name in string.gmatch(lines, '(%d+) (%S+) ([^\n]*)\n') do
    listed[#listed + 1] = {at = tonumber(at), id = id, name = name}
  end
  robbed_lists[records] = listed
  return listed
end

-- Notes that an entry was taken from a consumer; `write_robbed` follows.
local function note_robbed(records, group, consumer, id)
  local listed = robbed_of(records, group)
  listed[#listed + 1] = {at = tonumber(redis.call('TIME')[1]), id = id, name = consumer}
  is_news[records] = true
end

-- Writes down what was noted. A server that is out of memory does not take it.
local function write_robbed(group)
  local now = tonumber(redis.call('TIME')[1])
  for records in pairs(is_news) do
    local listed, lines, kept, is_said = robbed_lists[records], {}, 0, {}
    for at = #listed, 1, -1 do
      local one = listed[at]
      local id = #listed - at < most_robbed_ids and one.id or '-'
      local key = id .. ' ' .. one.name
      if not is_said[key] and now - one.at < robbed_seconds and kept < most_robbed then
        is_said[key], kept = true, kept + 1
        table.insert(lines, 1, string.format('%.0f %s\n', one.at, key))
      end
    end
    redis.pcall('HSET', records, 'robbed ' .. group, table.concat(lines))
  end
end
