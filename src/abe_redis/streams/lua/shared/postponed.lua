-- The score of a postponed entry: the time in ms at which it is due, and behind the point its number of
-- deliveries, in units of 1/4096, which such a time has room for. The count is there, too, so that it does
-- not begin anew when somebody removes the consumer, or acknowledges the entry, and its row with that.
local most_kept = 4095

local function postponed_score(due_ms, deliveries)
  return string.format('%.17g', math.floor(due_ms) + math.min(deliveries, most_kept) / (most_kept + 1))
end

-- The number of deliveries in a score; 0 where it has none.
local function postponed_deliveries(score)
  local due_ms = tonumber(score or 0)
  return math.floor((due_ms - math.floor(due_ms)) * (most_kept + 1) + 0.5)
end
