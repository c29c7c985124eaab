-- How often a pending entry counts as delivered once its lease ran out. That of an agent counts nothing: what
-- killed an agent's client was no handler of the event, and an event is buried for its handlers' failures.

local function deliveries_of_handlers(holder, deliveries)
  local is_agent = string.sub(holder, 1, 4) == 'mcp-'
  return is_agent and math.max(0, deliveries - 1) or deliveries
end
