-- Entries that left the pending list of a group since `list_pending` listed it, because they are settled:
-- acked or buried. If their holder vanishes (see `vanished`), nobody mistakes them for entries that it still
-- held.
--
-- One field per batch, so that a batch costs one short write. Without a list there is nothing to add to. With
-- the mark '-' they had left the list before: somebody had removed the consumer, whose handler has finished.

-- With the mark '=', handlers have begun them: each id is followed by the number of its begun deliveries.
-- With the mark '+', an entry is pending again that was not: somebody had removed its consumer, or a replay
-- delivers it again.

-- include: beside
local most_batches = 5000 -- then nobody has listed anything for long, and the list is given up

-- Whether to count the batches with this one: with one of about seven, for that costs a command.
local function is_turn_to_count(ids)
  local ms, number = string.match(ids[1], '^(%d+)-(%d+)')
  return (ms + number) % 7 == 0
end

-- `is_listed`: whether the caller knows that the key exists, which saves a command.
local function note_settled(pending, ids, mark, is_listed)
  if #ids == 0 then return end
  local field, batch = (mark or '') .. ids[1] .. ' ' .. #ids, table.concat(ids, ' ')
  if is_listed and not is_turn_to_count(ids) then
    if type(redis.pcall('HSET', pending, field, batch)) == 'number' then return end
  end
  local batches = redis.pcall('HLEN', pending)
  if type(batches) ~= 'number' or batches == 0 then return end
  local written = batches <= most_batches and redis.pcall('HSET', pending, field, batch)
  if type(written) ~= 'number' then redis.call('PEXPIRE', pending, 0) end
end

-- An entry that is pending again, with its number of deliveries, as the mark '+' notes it.
local function in_a_note(id, deliveries) return string.format('%s %.0f', id, deliveries) end

-- Notes what is pending again, all in one batch.
local function note_all_back(records, group, notes)
  note_settled(beside(records, 'pending', group), notes, '+')
end

-- Notes that an entry is pending again.
local function note_back(records, group, id, deliveries)
  note_all_back(records, group, {in_a_note(id, deliveries)})
end
