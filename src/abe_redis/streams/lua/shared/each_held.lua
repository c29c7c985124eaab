-- Runs a function for each entry that a consumer holds. In KEYS, each stream stands before the sorted set
-- of its postponed entries.
--
-- Answers the place, counted from 0, of each other entry, and its relation to the consumer: see `holder`.
-- With `by_name`, what is pending under nobody's name is not held: who never leased it does not take it back.

-- include: holder
local function each_held(group, consumer, first, act, by_name)
  local answers, place = {}, 0
  for i = first, #ARGV, 2 do
    local at, id = 2 * tonumber(ARGV[i]) - 1, ARGV[i + 1]
    local stream, due = KEYS[at], KEYS[at + 1]
    local state = holder(stream, group, consumer, id, false)
    if state == 'held' and by_name and #redis.call('XPENDING', stream, group, id, id, 1, consumer) == 0 then
      state = 'not_held'
    end
    if state == 'held' then act(stream, id, due) else answers[#answers + 1] = {place, state} end
    place = place + 1
  end
  return answers
end
