-- Begins the records of a group that stands at a new position: forgets what this change makes void (see
-- `group_fields`), and records its floor at once, in case somebody destroys the group before a consumer
-- records it. So it lists what is pending: what somebody drops with a consumer is found from now on.

-- include: beside
-- include: clock
-- include: facts
-- include: group_fields
-- include: list_pending
-- include: progress
local function begin_records(stream, records, group, change)
  forget_group(records, group, change)
  local info, of = facts(redis.call('XINFO', 'STREAM', stream)), group_of(stream, group)
  -- Behind a position before deleted entries, Redis knows no lag.
  if of['entries-read'] then of['lag'] = of['lag'] or info['entries-added'] - of['entries-read'] end
  redis.pcall('HSET', records, 'floor ' .. group, (progress_of(stream, of, info)))
  local leases, pending = beside(records, 'leases', group), beside(records, 'pending', group)
  names_read[stream], noted_fields[pending] = nil, nil
  list_pending(stream, records, leases, pending, group, of, now_ms())
end
