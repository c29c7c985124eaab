-- The record of a group (see `floor`), and how many entries it has not finished. A caller that knows
-- the oldest pending entry gives it.

-- include: ids
local function progress_of(stream, of, info, oldest)
  local unfinished = of['pending'] + math.max(0, of['lag'] or 0)
  local floor = of['last-delivered-id']
  if of['pending'] > 0 then floor = id_before(oldest or redis.call('XPENDING', stream, of['name'])[2]) end
  return string.format('%s %.0f %.0f', floor, info['entries-added'], unfinished), unfinished
end
