-- Does something to each entry that a consumer holds. The entries are of any of the streams in KEYS.
--
-- Answers which entries it did not do that to: the place of each, counted from 0, and `not_held` (somebody
-- else holds it) or `unknown` (nobody does). A group or stream that does not exist holds nothing.

local function each_held(group, consumer, first, act)
  local answers, place = {}, 0
  for i = first, #ARGV, 2 do
    local stream, id = KEYS[tonumber(ARGV[i])], ARGV[i + 1]
    local rows = redis.pcall('XPENDING', stream, group, id, id, 1)
    local row = not rows.err and rows[1]
    local holder = row and row[2]
    if holder == consumer then
      act(stream, id)
    else
      answers[#answers + 1] = {place, holder and 'not_held' or 'unknown'}
    end
    place = place + 1
  end
  return answers
end
