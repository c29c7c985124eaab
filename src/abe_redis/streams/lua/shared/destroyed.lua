-- Groups that somebody destroyed. A group with a recorded floor counts until an operator removes it with
-- our commands: its consumers make it again where it had finished.

-- include: facts
-- A destroyed group, from its recorded floor: where it had finished, how many entries had ever been added
-- to the stream then, and how many of them it had not finished.
local function destroyed_group(name, recorded, entries_added)
  local id, added_then, unfinished = string.match(recorded, '^(%S+) (%d+) (%d+)$')
  if entries_added < tonumber(added_then) then id = '0-0' end -- the stream was made anew
  return {name = name, floor = id, added_then = added_then, unfinished = tonumber(unfinished)}
end

-- All destroyed groups; `recorded` is what HGETALL answers for the records, `exist` has the names of the
-- existing groups.
local function destroyed_groups(stream, recorded, exist)
  local found = {}
  local added = #recorded > 0 and facts(redis.call('XINFO', 'STREAM', stream))['entries-added']
  for i = 1, #recorded, 2 do
    local is_likely = string.sub(recorded[i], 1, 1) == 'f' -- most are not, and a pattern takes longer
    local name = is_likely and string.match(recorded[i], '^floor (.*)$')
    if name and not exist[name] then
      found[#found + 1] = destroyed_group(name, recorded[i + 1], added)
    end
  end
  return found
end
