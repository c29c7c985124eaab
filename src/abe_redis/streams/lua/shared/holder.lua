-- Tells who holds an entry, for a consumer that claims to hold it.
--
-- When a removed group is made again, entries that its consumers may have in flight are pending under
-- nobody's name; each consumer takes its own back.

-- include: nobody
-- include: facts
-- include: forgotten_consumers
-- include: reclaimed
-- include: untouched
-- include: given_up
local is_removed = {} -- per stream

-- Whether somebody removed the consumer from the group; call it before the first command that would add the
-- consumer again.
local function removed(stream, records, group, consumer)
  if is_removed[stream] == nil then
    is_removed[stream] = true
    local rows = redis.pcall('XINFO', 'CONSUMERS', stream, group)
    for _, row in ipairs(is_absent(rows, 'XINFO CONSUMERS') and {} or rows) do
      if facts(row)['name'] == consumer then is_removed[stream] = false end
    end
    if is_removed[stream] and records and is_forgotten(records, group, consumer) then
      is_removed[stream] = false
    end
  end
  return is_removed[stream]
end

-- Whether another consumer certainly took an entry from this one; and whether one may have.
local function reclaimed_by_others(records, group, consumer, id)
  if not records then return false, true end
  local is_sure, may_be = was_reclaimed(records, group, consumer, id)
  return is_sure, may_be or is_forgotten(records, group, consumer)
end

-- Answers the relation of the consumer to an entry, the entry's number of deliveries, and whether the entry
-- was released. Without `records`, a forgotten consumer counts as removed:
--   held      the entry is pending under its name, or was put back for it; or a person released it, and
--             the consumer does not know of that yet
--   dropped   nobody holds the entry, but the consumer did, and no other consumer took it: its lease
--             certainly lasts (`sure`), or nobody may have taken the entry from it, and somebody removed the
--             consumer together with all its entries, or the consumer has not released it (`in_hand`). `sure`
--             may be outdated when the call arrives, so it does not count if another consumer is known to
--             have taken the entry. What may have been taken, and was not, is put back from the list of what
--             was pending: see `vanished`
--   not_held  another consumer holds it
--   unknown   nobody holds it; somebody may have finished it
--   deleted   as `dropped`, but the stream does not have the entry any more, or does not exist
--   given_up  as `dropped` or `deleted`, but a person took it from the consumer: see `given_up`
--   no_group  the group does not exist
local function holder(stream, group, consumer, id, sure, records, in_hand)
  local rows = redis.pcall('XPENDING', stream, group, id, id, 1)
  if is_absent(rows, 'XPENDING') then
    return redis.call('TYPE', stream).ok == 'stream' and 'no_group' or 'deleted', 0
  end
  local row = rows[1]
  if row and row[2] == consumer then return 'held', row[4] end
  local left = (not row or nobodys[row[2]]) and removed(stream, records, group, consumer)
  if row and row[2] == nobody then return 'held', row[4], row[3] > ten_years_ms end
  local is_put_off = records and row and row[2] == nobody_yet and is_given_up(records, group, consumer, id)
  if is_put_off then return 'held', row[4], true end
  if row then return 'not_held', row[4] end
  local others_took_it, may_be = reclaimed_by_others(records, group, consumer, id)
  may_be = may_be and not (left and not records)
  if others_took_it or not (sure or (left or in_hand) and not may_be) then return 'unknown', 0 end
  if records and is_given_up(records, group, consumer, id) then return 'given_up', 0 end
  return #redis.call('XRANGE', stream, id, id) == 0 and 'deleted' or 'dropped', 0
end
