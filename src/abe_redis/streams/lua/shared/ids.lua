-- The order of entry ids, and the id before one.

-- Lua rounds numbers from 2^53 on; of these, the digits decide.
local function is_less(a, b)
  local x, y = tonumber(a), tonumber(b)
  if x ~= y or x < 9007199254740992 then return x < y end
  return #a < #b or (#a == #b and a < b)
end

local function before(a, b)
  local a_ms, a_sequence = string.match(a, '^(%d+)-(%d+)$')
  local b_ms, b_sequence = string.match(b, '^(%d+)-(%d+)$')
  if is_less(a_ms, b_ms) then return true end
  return not is_less(b_ms, a_ms) and is_less(a_sequence, b_sequence)
end

-- The last id before another.
local function id_before(id)
  local ms, sequence = string.match(id, '^(%d+)-(%d+)$')
  if sequence ~= '0' then return ms .. '-' .. string.format('%.0f', sequence - 1) end
  return string.format('%.0f', ms - 1) .. '-18446744073709551615'
end
