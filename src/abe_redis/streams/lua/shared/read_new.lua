-- Leases entries that nobody in the group was given yet; `portion` says how much of which stream.
--
-- With a read, Redis forgets that entries were removed unread, so they are counted before it. While the
-- last entry that the consumer had, or an older one, is there, none was removed.

-- include: note_loss
-- How many entries of a stream were removed unread since the consumer had the one with the id `last`;
-- with an empty `last`, the stream was empty then, and there was nothing to remove.
local function lost_since(stream, records, group, last)
  if last == '' or #redis.call('XRANGE', stream, '-', last, 'COUNT', 1) > 0 then return 0 end
  local of = group_of(stream, group)
  return of and note_loss(stream, records, of, facts(redis.call('XINFO', 'STREAM', stream))) or 0
end

-- What was read and lost of the streams so far.
local found, losses, taken = {}, {}, 0

-- Reads up to `count` entries of a stream; answers the server's error, if it has one.
local function read_new(stream, records, group, consumer, count, last)
  local lost = lost_since(stream, records, group, last)
  if lost > 0 then
    losses[#losses + 1] = stream
    losses[#losses + 1] = lost
  end
  local reply = redis.pcall('XREADGROUP', 'GROUP', group, consumer, 'COUNT', count, 'STREAMS', stream, '>')
  if not reply then return end
  if reply.err then return reply end
  local stream_and_entries = reply[1]
  found[#found + 1] = stream_and_entries
  taken = taken + #stream_and_entries[2]
end
