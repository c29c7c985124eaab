-- Leases entries that the group was not given yet; `portion` says how many of which stream.
--
-- With a read, Redis forgets that entries were trimmed unread, so they are counted before the read. As long
-- as the last entry that the consumer had, or an older one, exists, none was trimmed.
--
-- After the read, the number of entries that the group was given is written. Redis forgets it if entries
-- behind the position were deleted (`note_deleted` needs it to count them), and then knows no lag; and
-- XREADGROUP tells it neither the append-only file nor replicas before Redis 7.4 and Valkey 8
-- (https://github.com/redis/redis/pull/12898).

-- include: note_loss
-- include: named
-- include: any_due
-- include: not_due
-- The number of entries that were removed unread since the consumer had the entry `last`. An empty `last`
-- means that the stream was empty, so nothing could be removed.
local function lost_since(stream, records, of, last)
  if last == '' or #redis.call('XRANGE', stream, '-', last, 'COUNT', 1) > 0 then return 0 end
  return of and note_loss(stream, records, of, facts(redis.call('XINFO', 'STREAM', stream))) or 0
end

-- Valkey says here that it is Redis 7.2.4.
local redis_version, valkey_version = redis.REDIS_VERSION_NUM or 0, redis.VALKEY_VERSION_NUM or 0
local is_told_by_read = redis_version >= 0x70400 or valkey_version >= 0x80000

-- What was read and lost of the streams so far, and the position of the group in each.
local found, losses, positions, taken = {}, {}, {}, 0

-- Whether any of the streams has postponed entries. Usually one command says that none has.
local is_any_due

-- Notes that entries are not postponed any more. Each stream has `stride` keys, the third of them for that.
local function note_not_due(due, ids, stride)
  if is_any_due == nil then is_any_due = any_due(3, stride) end
  if is_any_due then not_due(due, unpack(ids)) end
end

-- Reads up to `count` entries of a stream; answers the server's error, if any. A delivery counts when a
-- handler begins. So these entries have no delivery yet, unless a handler begins at once (`begun`). None of
-- them is postponed any more. The position of the group is recorded, in case somebody removes the group.
local function read_new(stream, records, due, stride, group, consumer, count, last, begun)
  local of = group_of(stream, group)
  positions[#positions + 1] = stream
  positions[#positions + 1] = of and of['last-delivered-id'] or '0-0'
  local lost = lost_since(stream, records, of, last)
  if lost > 0 then
    losses[#losses + 1] = stream
    losses[#losses + 1] = lost
  end
  local reply = redis.pcall('XREADGROUP', 'GROUP', group, consumer, 'COUNT', count, 'STREAMS', stream, '>')
  if not reply then return end
  if reply.err then return named(reply, 'XREADGROUP') end
  local stream_and_entries = reply[1]
  found[#found + 1] = stream_and_entries
  local entries = stream_and_entries[2]
  taken = taken + #entries
  local words, ids = {'XCLAIM', stream, group, consumer, 0}, {}
  for i, entry in ipairs(entries) do words[5 + i], ids[i] = entry[1], entry[1] end
  positions[#positions] = words[#words]
  note_not_due(due, ids, stride)
  if of and of['entries-read'] and not (is_told_by_read and of['lag']) then
    local read = of['entries-read'] + #entries
    redis.call(to_position('SETID', stream, group, words[#words], read))
  end
  redis.pcall('HSET', records, 'last ' .. group, words[#words]) -- who may not write it reads all the same
  if begun then return end
  for _, word in ipairs({'RETRYCOUNT', 0, 'JUSTID'}) do words[#words + 1] = word end
  redis.call(unpack(words))
end
