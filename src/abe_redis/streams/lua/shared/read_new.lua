-- Leases entries that the group was not given yet.
--
-- With a read, Redis forgets that entries were trimmed unread, so they are counted before the read. As long
-- as the stream has more entries than were added behind the group's position, it has one that the group was
-- given, and so none was trimmed unread. Where Redis does not know how many were added, none was if the last
-- entry that the consumer had, or an older one, exists; that one comes with its payload, which costs more.
--
-- After the read, the number of entries that the group was given is written. Redis forgets it if entries
-- behind the position were deleted (`note_deleted` needs it to count them), and then knows no lag; and
-- XREADGROUP tells it neither the append-only file nor replicas before Redis 7.4 and Valkey 8
-- (https://github.com/redis/redis/pull/12898).

-- include: note_loss
-- include: named
-- include: any_due
-- include: not_due
-- include: skipped
-- The number of entries that were removed unread since the consumer had the entry `last`. An empty `last`
-- means that the stream was empty, so nothing could be removed.
local function lost_since(stream, records, of, last)
  if last == '' or not of then return 0 end
  if of['lag'] and redis.call('XLEN', stream) > of['lag'] then return 0 end
  if #redis.call('XRANGE', stream, '-', last, 'COUNT', 1) > 0 then return 0 end
  return note_loss(stream, records, of, facts(redis.call('XINFO', 'STREAM', stream)))
end

-- Valkey says here that it is Redis 7.2.4.
local redis_version, valkey_version = redis.REDIS_VERSION_NUM or 0, redis.VALKEY_VERSION_NUM or 0
local is_told_by_read = redis_version >= 0x70400 or valkey_version >= 0x80000

-- What was read and lost of the streams so far.
local found, losses, taken = {}, {}, 0

-- Whether any of the streams has postponed entries. Usually one command says that none has.
local is_any_due

-- Notes that entries are not postponed any more. Each stream has `stride` keys, the third of them for that.
local function note_not_due(due, stride, ...)
  if is_any_due == nil then is_any_due = any_due(3, stride) end
  if is_any_due then not_due(due, ...) end
end

-- Looks at a stream right before it is read: counts what was lost; answers the facts of the group.
local function look(stream, records, group, last)
  local of = group_of(stream, group)
  local lost = lost_since(stream, records, of, last)
  if lost > 0 then
    losses[#losses + 1] = stream
    losses[#losses + 1] = lost
  end
  return of
end

-- Leases what was read of a stream. A delivery counts when a handler begins. So these entries have no
-- delivery yet, unless a handler begins at once (`begun`). None of them is postponed any more. The position
-- of the group is recorded, in case somebody removes the group.
local function lease(read, records, due, stride, group, consumer, of, begun)
  local stream, entries = read[1], read[2]
  found[#found + 1] = read
  taken = taken + #entries
  local words, position = {'XCLAIM', stream, group, consumer, 0}, entries[#entries][1]
  for i, entry in ipairs(entries) do words[5 + i] = entry[1] end
  note_not_due(due, stride, unpack(words, 6))
  if of and of['entries-read'] and not (is_told_by_read and of['lag']) then
    redis.call(to_position('SETID', stream, group, position, of['entries-read'] + #entries))
  end
  if of and not of['entries-read'] then note_skipped(records, group, of['last-delivered-id']) end
  redis.pcall('HSET', records, 'last ' .. group, position) -- who may not write it reads all the same
  if begun then return end
  for _, word in ipairs({'RETRYCOUNT', 0, 'JUSTID'}) do words[#words + 1] = word end
  redis.call(unpack(words))
end

-- Reads up to `count` entries of a stream that `look` has looked at; answers the server's error, if any.
local function read_one(stream, records, due, stride, group, consumer, count, of, begun)
  local reply = redis.pcall('XREADGROUP', 'GROUP', group, consumer, 'COUNT', count, 'STREAMS', stream, '>')
  if not reply then return end
  if reply.err then return named(reply, 'XREADGROUP') end
  lease(reply[1], records, due, stride, group, consumer, of, begun)
end

-- Looks at a stream, and reads it.
local function read_new(stream, records, due, stride, group, consumer, count, last, begun)
  local of = look(stream, records, group, last)
  return read_one(stream, records, due, stride, group, consumer, count, of, begun)
end
