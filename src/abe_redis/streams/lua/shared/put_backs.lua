-- How often dropped entries of a group were put back. An owner that was loading them page by page (see
-- `load`) finds by this that it may have missed some.
local function put_backs_of(records, group)
  return tonumber(redis.call('HGET', records, 'put back ' .. group) or 0)
end

local function note_put_back(records, group)
  redis.pcall('HINCRBY', records, 'put back ' .. group, 1)
end
