-- Writes a field of the records that has one line per item. Without lines the field is deleted. A server
-- without memory keeps the old value.
local function record_lines(records, field, lines)
  if #lines == 0 then
    redis.call('HDEL', records, field)
  else
    redis.pcall('HSET', records, field, table.concat(lines))
  end
end
