-- Notes that a group may be given again what it had: it is made, moved or replayed now. Of an event that it
-- gave up on before, its dead letter does not tell any more that it has not finished it.

-- include: clock
local function note_anew(records, group)
  redis.pcall('HSET', records, 'anew ' .. group, string.format('%.0f', now_ms()))
end
