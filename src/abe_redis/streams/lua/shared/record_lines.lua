-- A field of the records that has a line for each of several things. Without a line there is no field, and a
-- server that is out of memory keeps what it has.
local function record_lines(records, field, lines)
  if #lines == 0 then
    redis.call('HDEL', records, field)
  else
    redis.pcall('HSET', records, field, table.concat(lines))
  end
end
