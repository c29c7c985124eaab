-- Removes a group with all its records; also a group that somebody destroyed, if its floor is recorded.
-- What somebody dropped with a consumer is put back before: it counts.
--
-- KEYS  the stream, its records, the sorted set of postponed entries, consumers' records of their leases,
--       and of what they hold, what the group has pending
-- ARGV  group, 1 to remove it though it has not finished everything (else 0), up to how many entries are
--       counted one by one where Redis does not know how many were not delivered, and its turn
-- Answers how many entries were pending, how many were not delivered, 1 if these are all (else 0), and 1 if
-- it was removed (else 0); or an error when there is no such group, or it is out of turn.
-- flags: allow-oom

-- include: beyond_end
-- include: count_between
-- include: destroyed
-- include: dropped
-- include: group_fields
-- include: ids
-- include: removed_groups
-- include: not_due
-- include: turn
local stream, records, due, leases, held, list = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5], KEYS[6]
local group, force, most_counted = ARGV[1], ARGV[2] == '1', tonumber(ARGV[3])
local refused = out_of_turn(records, ARGV[4], ARGV[5], ARGV[6])
if refused then return refused end
local of, found = group_of(stream, group), redis.pcall('XINFO', 'STREAM', stream)
local info = facts(is_absent(found, 'XINFO STREAM') and {} or found)
local first, pending = info['first-entry'], 0
local unread, position
if of then
  local lost = put_back_dropped(stream, records, of)
  of = group_of(stream, group)
  pending, unread, position = of['pending'] + lost, of['lag'], of['last-delivered-id']
  if is_beyond_end(position, info) then
    position = given_up_to(stream, records, of, info)
    unread = position == info['last-generated-id'] and 0 or nil
  end
else
  local recorded = redis.call('HGET', records, 'floor ' .. group)
  if found.err or not recorded then return redis.error_reply('NOGROUP No such consumer group') end
  local gone = destroyed_group(group, recorded, info)
  unread, position = gone.unfinished + info['entries-added'] - gone.added_then, gone.floor
end
if not first then unread = 0
elseif before(position, first[1]) then unread = info['length'] end
local is_all = 1
if not unread then unread, is_all = count_between(stream, position, '+', most_counted) end
if force or (pending == 0 and unread == 0) then
  if of then redis.call('XGROUP', 'DESTROY', stream, group) end
  forget_group(records, group, 'removed')
  none_due(due)
  redis.call('DEL', leases, held, list)
  note_removed(records, group)
  note_turn(records, ARGV[5])
  return {pending, unread, is_all, 1}
end
return {pending, unread, is_all, 0}
