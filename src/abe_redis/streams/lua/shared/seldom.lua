-- What an id needs seldom that is added to a stream whose state is as the caller says: one function, which
-- costs nothing until it is called. Answers as `publish` does for an id that is known, or nothing when that
-- does not count any more: it has had its time, or its entry is lost. Without a known one it remembers an
-- added id, and puts off when its bucket expires.
local function seldom(...)
-- include: id_bucket
-- include: is_lost
  local bucket, lasting, id, mark, known, stream, state, said, due, entry = ...
  if known then
    if not is_alive(known, now()) or is_lost(stream, string.match(known, '^%S+')) then return end
    -- WAIT is for what this connection wrote, and what was lost may have been written by another.
    redis.call('HSET', bucket, id, known)
    return known_as(known, mark)
  end
  local expires, at = remember_and_put_off(bucket, lasting, due, id, entry, mark)
  local state_expires, rest = string.match(said, '^(%d+)(.*)$')
  if expires > tonumber(state_expires) then
    expires = string.format('%.0f', 2 * expires - at)
    redis.call('SET', state, expires .. rest, 'PXAT', expires)
  end
end
