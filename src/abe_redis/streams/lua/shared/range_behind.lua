-- Entries behind an id. Behind the last id of all there are none, and Redis refuses such a range.

local last_of_all = '18446744073709551615-18446744073709551615'

local function range_behind(stream, id, upto, count)
  if id == last_of_all then return {} end
  return redis.call('XRANGE', stream, '(' .. id, upto, 'COUNT', count)
end
