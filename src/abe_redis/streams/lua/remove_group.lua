-- Removes a group with all that is recorded about it.
--
-- KEYS  the stream, its records, the sorted set of what is postponed
-- ARGV  group, 1 to remove it though it has not finished everything (else 0)
-- Answers how many entries were pending, how many were not delivered (-1: Redis cannot tell), and 1 if it
-- was removed (else 0); or an error when there is no such group.

-- include: facts
-- include: ids
local stream, records, due = KEYS[1], KEYS[2], KEYS[3]
local group, force = ARGV[1], ARGV[2] == '1'
local of = group_of(stream, group)
if not of then return redis.error_reply('NOGROUP No such consumer group') end
local first, unread = facts(redis.call('XINFO', 'STREAM', stream))['first-entry'], of['lag']
if first and before(of['last-delivered-id'], first[1]) then unread = redis.call('XLEN', stream) end
local unfinished = of['pending'] > 0 or unread ~= 0
if force or not unfinished then
  redis.call('XGROUP', 'DESTROY', stream, group)
  for _, what in ipairs({'floor', 'used', 'lost', 'paused'}) do
    redis.call('HDEL', records, what .. ' ' .. group)
  end
  redis.call('DEL', due)
  return {of['pending'], unread or -1, 1}
end
return {of['pending'], unread or -1, 0}
