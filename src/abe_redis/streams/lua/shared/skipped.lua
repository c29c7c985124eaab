-- Entries that somebody set a group past (XGROUP SETID, or CREATE further on). They lie behind the position
-- of the last list of what is pending, as those do that the group was given since (see `vanished`), and once
-- the group is read again, Redis tells no difference. So a read that finds that Redis does not know how much
-- the group was given notes them: what lies between the last entry that the group is known to have been given
-- and its position.

-- include: ids
local function note_skipped(records, group, position)
  local last = redis.call('HGET', records, 'last ' .. group)
  if last and before(last, position) then
    redis.pcall('HSET', records, 'skipped ' .. group, last .. ' ' .. position)
  end
end

-- A function that tells whether an entry was skipped.
local function skipped_of(records, group)
  local noted = redis.call('HGET', records, 'skipped ' .. group) or ''
  local from, upto = string.match(noted, '^(%S+) (%S+)$')
  return function(id) return from ~= nil and before(from, id) and not before(upto, id) end
end
