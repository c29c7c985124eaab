-- Groups that somebody destroyed. A group with a recorded floor counts until an operator removes it with
-- our commands: its consumers make it again where it had finished.

-- include: facts
-- include: ids

-- A destroyed group, from its recorded floor: where it had finished, how many entries had ever been added
-- to the stream then, how many of them it had not finished, and whether the stream was made anew since.
local function destroyed_group(name, recorded, info)
  local id, added_then, unfinished = string.match(recorded, '^(%S+) (%d+) (%d+)$')
  local is_made_anew = info['entries-added'] < tonumber(added_then) or before(info['last-generated-id'], id)
  if is_made_anew then id = '0-0' end
  return {
    name = name, floor = id, added_then = added_then, unfinished = tonumber(unfinished),
    is_made_anew = is_made_anew,
  }
end

-- All destroyed groups; `recorded` is what HGETALL answers for the records, `exist` has the names of the
-- existing groups.
local function destroyed_groups(stream, recorded, exist)
  local found = {}
  local info = #recorded > 0 and facts(redis.call('XINFO', 'STREAM', stream))
  for i = 1, #recorded, 2 do
    local is_likely = string.sub(recorded[i], 1, 1) == 'f' -- most are not, and a pattern takes longer
    local name = is_likely and string.match(recorded[i], '^floor (.*)$')
    if name and not exist[name] then
      found[#found + 1] = destroyed_group(name, recorded[i + 1], info)
    end
  end
  return found
end
