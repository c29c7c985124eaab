-- Whether no handler can have begun with a pending entry: it was given back (TIME 0 dated it to the epoch),
-- and none is on record. Of one whose lease just ran out, that is not sure.

local ten_years_ms = 10 * 365 * 86400000

local function is_untouched(pending)
  local idle, deliveries = pending[3], pending[4]
  return deliveries == 0 and idle > ten_years_ms
end
