-- What the list of pending entries says (see `list_pending`), with what is noted beside it since (see
-- `settled`).

-- What was listed, as text; which entries are settled since; how many of them were pending until then; and
-- the numbers of deliveries of others: that have begun, and that are pending again. Nil if nothing is listed.
local function listed_of(pending, records, group)
  local flat, text, settled, count, begun, back = redis.pcall('HGETALL', pending), nil, {}, 0, {}, {}
  if flat.err then return end
  local function note(ids, by)
    for id in string.gmatch(ids, '%S+') do
      if not settled[id] then settled[id], count = true, count + by end
    end
  end
  for i = 1, #flat, 2 do
    local mark = string.sub(flat[i], 1, 1)
    if mark == '' then text = flat[i + 1]
    elseif mark == '=' or mark == '+' then
      local noted = mark == '=' and begun or back
      for id, deliveries in string.gmatch(flat[i + 1], '(%S+) (%S+)') do
        noted[id] = math.max(noted[id] or 0, tonumber(deliveries))
      end
    else note(flat[i + 1], mark == '-' and 0 or 1) end
  end
  for mark, id in string.gmatch(redis.call('HGET', records, 'gone ' .. group) or '', '(-?)(%d+-%d+)') do
    note(id, mark == '-' and 0 or 1)
  end
  return text, settled, count, begun, back
end
