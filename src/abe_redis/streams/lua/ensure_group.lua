-- Makes a group on each stream that exists and lacks it; a stream is never made.
--
-- A new group starts at the very beginning; a deleted one starts where it had finished: see `floor`. Its
-- unfinished entries are recorded at once, in case somebody deletes the stream. One that stands beyond the
-- end of its stream is set back: see `beyond_end`.
--
-- KEYS  per stream: the stream, its records, consumers' records of their leases, what the group has pending
-- ARGV  group, for how many ms the records of a stream that does not exist are kept, 1 if a worker asks (0:
--       an agent or a person)
-- Answers per stream: `ready`, `paused`, `missing` or `other` (another kind of key); how many entries are
-- newly found to be removed before the group had finished them; 1 if somebody had removed the group, 2 if it
-- is new (else 0); 1 if the records knew the group before, 2 if one of our commands removed it (else 0);
-- the new and the former position of a group that it set back (else ''); and what `forget_replaced` tells of
-- an older copy of a stream (else ''). If the first streams have many groups or pending entries, it answers
-- only for these.
-- flags: allow-oom

-- include: anew
-- include: beyond_end
-- include: note_deleted
-- include: make_again
-- include: floor
-- include: progress
-- include: clock
-- include: list_pending
-- include: removed_groups
local group, forgotten_ms, is_worker = ARGV[1], ARGV[2], ARGV[3] == '1'
local answers, most_seen = {}, 300 -- groups, and pages of five pending entries

for i = 1, #KEYS, 4 do
  if groups_seen + listed / 5 >= most_seen then break end
  local stream, records, leases, pending = unpack(KEYS, i, i + 3)
  local kind, state = redis.call('TYPE', stream).ok, 'ready'
  local info = kind == 'stream' and facts(redis.call('XINFO', 'STREAM', stream))
  local used, floor, known, worked, paused, anew, removals = unpack(redis.call('HMGET', records,
    'used ' .. group, 'floor ' .. group, 'known ' .. group, 'worked ' .. group, 'paused ' .. group,
    'anew ' .. group, 'removed'))
  local made, moved, was_known = 0, '', used and 1 or was_removed(removals, group) and 2 or 0
  local from, lost, is_void, replaced = floor_of(stream, records, group, info, floor)
  if is_void then floor, known = false, false end
  if kind == 'none' then
    redis.call('PEXPIRE', records, forgotten_ms)
    state = 'missing'
  elseif not info then state = 'other'
  else
    local of = group_of(stream, group)
    if of then
      redis.call('PERSIST', records) -- the stream was away, and somebody put it back with its groups
      moved, of = set_back(stream, records, of, info)
      lost = lost + note_deleted(stream, records, of, info)
      if not anew then note_anew(records, group) end -- nobody noted what was done with it before
    else
      local refused, position = make_again(stream, records, group, from,
        from == '0' and info['entries-added'] - info['length'])
      if refused then return refused end
      made = position ~= '0' and 1 or 2
    end
    known = known or made > 0
    if not floor then
      of = of or group_of(stream, group)
      redis.pcall('HSET', records, 'floor ' .. group, (progress_of(stream, of, info)))
    end
    if not known or redis.call('EXISTS', pending) == 0 then
      of = of or group_of(stream, group)
      list_pending(stream, records, leases, pending, group, of, now_ms())
    end
    if is_worker and not worked then
      redis.pcall('HSET', records, 'worked ' .. group, redis.call('TIME')[1])
    end
    if paused then state = 'paused' end
  end
  answers[#answers + 1] = {state, lost, made, was_known, moved, replaced}
end
return answers
