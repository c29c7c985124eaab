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

local batches_of = {} -- per what is pending: by id, the batches by which an entry is settled

local function read_batches(pending)
  local fields, by_id = {}, {}
  for _, field in ipairs(redis.pcall('HKEYS', pending)) do
    local mark = string.sub(field, 1, 1)
    if not (mark == '' or mark == '=' or mark == '+') then fields[#fields + 1] = field end
  end
  for i, ids in ipairs(#fields > 0 and redis.call('HMGET', pending, unpack(fields)) or {}) do
    local batch = {field = fields[i], ids = ids}
    for id in string.gmatch(ids, '%S+') do
      by_id[id] = by_id[id] or {}
      table.insert(by_id[id], batch)
    end
  end
  return by_id
end

-- Forgets that an entry was settled since the list. Its batch keeps its name, which says how many entries
-- left the pending list.
local function forget_settled(pending, id)
  batches_of[pending] = batches_of[pending] or read_batches(pending)
  for _, batch in ipairs(batches_of[pending][id] or {}) do
    local kept = {}
    for other in string.gmatch(batch.ids, '%S+') do
      if other ~= id then kept[#kept + 1] = other end
    end
    batch.ids = table.concat(kept, ' ')
    redis.pcall('HSET', pending, batch.field, batch.ids)
  end
end

-- An entry that is pending again, with its number of deliveries, as the mark '+' notes it.
local function in_a_note(id, deliveries) return string.format('%s %.0f', id, deliveries) end

-- Notes what is pending again, all in one batch. What of it is noted as settled later, too, was settled after
-- that.
local function note_all_back(records, group, notes)
  if #notes == 0 then return end
  local pending = beside(records, 'pending', group)
  for _, note in ipairs(notes) do forget_settled(pending, string.match(note, '^%S+')) end
  note_settled(pending, notes, '+')
end

-- Notes that an entry is pending again.
local function note_back(records, group, id, deliveries)
  note_all_back(records, group, {in_a_note(id, deliveries)})
end
