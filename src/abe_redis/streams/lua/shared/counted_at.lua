-- How many entries lie before a position, also in mid-stream, where Redis does not know it: then those
-- behind it are counted, up to a bound; nil beyond that. For a group of which nothing is recorded any more:
-- to others, that Redis does not know the number says that somebody has moved them (see `skipped`).

-- include: count_between
-- include: read_at
local function counted_at(stream, position, most)
  local read = read_at(stream, position)
  if read then return read end
  local behind, is_all = count_pages(stream, position, '+', most)
  if is_all then return facts(redis.call('XINFO', 'STREAM', stream))['entries-added'] - behind end
end
