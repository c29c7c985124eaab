-- Removes consumers of a group that are gone.
--
-- XGROUP DELCONSUMER drops the entries of the consumer, so only a consumer that holds nothing is removed.
-- If one of them is only slow, its next read makes it again.
--
-- The record of a consumer's leases is deleted when the consumer has been gone for the same time without a
-- new record. So is the note that a consumer has left (see `withdraw`), once the group lacks that consumer.
--
-- KEYS  per stream: the stream, its records, consumers' records of their leases and of their events
-- ARGV  group, the time in ms after which a silent consumer is gone, the number of its leases instead if
--       their length is recorded
-- Answers how many were removed.
-- flags: allow-oom

-- include: clock
-- include: facts
-- include: leases
-- include: forgotten_consumers
-- include: nobody
-- include: known
local group, idle_ms, idle_leases = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
local now, forgotten = now_ms(), 0

for i = 1, #KEYS, 4 do
  local stream, records, leases, held = KEYS[i], KEYS[i + 1], KEYS[i + 2], KEYS[i + 3]
  local said = leases_of(leases, 0)
  local rows, names, is_there = redis.pcall('XINFO', 'CONSUMERS', stream, group), {}, {}
  for _, row in ipairs(is_absent(rows, 'XINFO CONSUMERS') and {} or rows) do
    local of = facts(row)
    local mine = said[of['name']]
    if of['pending'] == 0 and of['idle'] >= (mine and mine.ms * idle_leases or idle_ms) then
      redis.call('XGROUP', 'DELCONSUMER', stream, group, of['name'])
      redis.call('HDEL', held, of['name'])
      redis.call('HSET', records, 'used ' .. group, redis.call('TIME')[1])
      if of['name'] == nobody then redis.call('HDEL', records, 'given ' .. group) end
      note_left(records, group, of['name'])
      names[#names + 1] = of['name']
    else
      is_there[of['name']] = true
      said[of['name']] = nil
    end
  end
  note_forgotten(records, group, names, is_there)
  forgotten = forgotten + #names
  local notes = redis.pcall('HGETALL', held)
  for at = 1, #notes, 2 do
    if notes[at + 1] == 'left' and not is_there[notes[at]] then redis.call('HDEL', held, notes[at]) end
  end
  for name, one in pairs(said) do
    local silent_ms = math.abs(now - one.at)
    if silent_ms >= math.max(one.ms, 1000) * idle_leases then redis.call('HDEL', leases, name) end
  end
end
return forgotten
