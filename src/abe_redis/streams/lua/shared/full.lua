-- Streams that have as many entries as they may, by the publisher's REDIS_STREAM_HARD_MAXLEN.

-- The error for an entry that such a stream does not take. The bound and the length are noted among the
-- records, for whoever looks at the stream with another bound: the note holds while the length stays so.
local function full(records, hard_maxlen, length)
  redis.pcall('HSET', records, 'full', hard_maxlen .. ' ' .. length)
  return redis.error_reply('STREAMFULL it has ' .. hard_maxlen .. ' entries')
end
