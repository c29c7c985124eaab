-- The number of deliveries of a pending entry whose lease expired. An agent's lease adds none: an event is
-- buried for the failures of its handlers, and no handler of the event stopped the agent.

local function deliveries_of_handlers(holder, deliveries)
  local is_agent = string.sub(holder, 1, 4) == 'mcp-'
  return is_agent and math.max(0, deliveries - 1) or deliveries
end
