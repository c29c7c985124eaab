-- Makes a removed group again, at the last id that it was given as far as anybody knows (see
-- `left_unfinished`). What it had not finished becomes pending under nobody's name, as if just leased: a
-- consumer that has one takes it back with its next renewal, and the others go to any consumer after a lease.
-- It is listed as pending at once, in case somebody drops it with that consumer, or removes the group again.

-- include: beside
-- include: began
-- include: clock
-- include: list_pending
-- include: make_group
-- include: holder
-- include: left_unfinished

-- `entries_read` is the number of entries before the floor, if known. Answers Redis's error, if any, and the
-- position at which it was made.
local function make_again(stream, records, group, floor, entries_read)
  local start = floor == '0' and '0-0' or floor
  local unfinished, position = left_unfinished(stream, records, group, start)
  if position == start then position = floor else entries_read = nil end
  local made = make_group(stream, records, group, position, entries_read)
  if made.err then return made, floor end
  for _, id in ipairs(unfinished) do
    redis.call('XCLAIM', stream, group, nobody, 0, id, 'RETRYCOUNT', 0, 'FORCE', 'JUSTID')
  end
  if position == '0' then note_began(stream, records, group) end
  names_read[stream] = nil -- of before it was made
  local of, now = group_of(stream, group), now_ms()
  local leases, pending = beside(records, 'leases', group), beside(records, 'pending', group)
  list_pending(stream, records, leases, pending, group, of, now)
  return nil, position
end
