-- Makes a group at a position, with the number of entries before it if that is known; on request also its
-- stream, empty, if there is none. Answers Redis's reply.

-- include: anew
-- include: position
-- include: named
local function make_group(stream, records, group, position, entries_read, makes_stream)
  local words = {to_position('CREATE', stream, group, position, entries_read)}
  if makes_stream then words[#words + 1] = 'MKSTREAM' end
  local made = redis.pcall(unpack(words))
  if made.err then return named(made, 'XGROUP CREATE') end
  redis.call('HSET', records, 'used ' .. group, redis.call('TIME')[1])
  redis.call('HDEL', records, 'known ' .. group)
  redis.call('PERSIST', records)
  note_anew(records, group)
  return made
end
