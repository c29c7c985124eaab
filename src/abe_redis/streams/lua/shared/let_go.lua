-- The entries that consumers released with a delay or buried last, each with the hold that ended so. A
-- consumer names its hold in the same way when it repeats the command. An entry that begins anew with the
-- same count looks to a late command as it did to its sender: one whose delivery did not count, one that is
-- replayed, or one of a group that was set back.

-- include: record_lines
local most_let_go = 100

local function let_go_of(records, group) return redis.call('HGET', records, 'let go ' .. group) or '' end

-- Whether this hold has ended already; a hold without a name has not.
local function was_let_go(records, group, id, hold)
  local line = '\n' .. id .. ' ' .. hold .. '\n'
  return hold ~= '' and string.find('\n' .. let_go_of(records, group), line, 1, true) ~= nil
end

local function note_let_go(records, group, id, hold)
  if hold == '' then return end
  local lines = {id .. ' ' .. hold .. '\n'}
  for line in string.gmatch(let_go_of(records, group), '[^\n]+\n') do
    if #lines < most_let_go and line ~= lines[1] then lines[#lines + 1] = line end
  end
  record_lines(records, 'let go ' .. group, lines)
end
