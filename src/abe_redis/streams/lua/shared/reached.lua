-- The last id that a consumer of a group has in flight, as far as anybody has recorded it. A group that
-- somebody removes is made again there (see `make_again`), not where it had finished: what consumers have in
-- flight would be delivered to them a second time, as if it were new.
--
-- A read records it, and so does each record of progress. A consumer that leaves with nothing in flight
-- deletes it. So whoever takes over what was released records it again.

-- include: ids

-- A caller that has read what is recorded gives it (`last`).
local function note_reached(records, group, id, last)
  if last == nil then last = redis.call('HGET', records, 'last ' .. group) end
  if not last or before(last, id) then redis.pcall('HSET', records, 'last ' .. group, id) end
end
