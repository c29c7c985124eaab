-- Does something to each entry that a consumer holds. The entries are of any of the streams in KEYS, of
-- which each stands before the sorted set of what is postponed in it.
--
-- Answers which entries it did not do that to: the place of each, counted from 0, and how the consumer
-- stands to it: see `holder`.

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
