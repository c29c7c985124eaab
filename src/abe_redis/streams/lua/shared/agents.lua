-- The number of deliveries of a pending entry whose lease expired. A lease of an agent or of a person at the
-- command line adds none: an event is buried for the failures of its handlers, and no handler has begun it.

local function deliveries_of_handlers(holder, deliveries)
  local kind = string.sub(holder, 1, 4)
  local is_handled = kind ~= 'mcp-' and kind ~= 'cli-'
  return is_handled and deliveries or math.max(0, deliveries - 1)
end
