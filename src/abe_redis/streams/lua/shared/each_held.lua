-- Runs a function for each entry that a consumer holds. In KEYS, each stream stands before the sorted set
-- of its postponed entries.
--
-- Answers the place, counted from 0, of each other entry, and its relation to the consumer: see `holder`.

-- include: holder
local function each_held(group, consumer, first, act)
  local answers, place = {}, 0
  for i = first, #ARGV, 2 do
    local at, id = 2 * tonumber(ARGV[i]) - 1, ARGV[i + 1]
    local stream, due = KEYS[at], KEYS[at + 1]
    local state = holder(stream, group, consumer, id, false)
    if state == 'held' then act(stream, id, due) else answers[#answers + 1] = {place, state} end
    place = place + 1
  end
  return answers
end
