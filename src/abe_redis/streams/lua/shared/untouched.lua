-- Whether certainly no handler has begun a pending entry: it was released (TIME 0 dated it to the epoch),
-- and no delivery is recorded. An entry whose lease has just expired may have been begun.

local ten_years_ms = 10 * 365 * 86400000

local function is_untouched(pending)
  local idle, deliveries = pending[3], pending[4]
  return deliveries == 0 and idle > ten_years_ms
end
