-- Splits the fields of an entry: its own, in order, as a flat list; and ours, by name.

local function split(flat)
  local fields, ours = {}, {}
  for i = 1, #flat, 2 do
    local name, value = flat[i], flat[i + 1]
    if string.sub(name, 1, 4) == 'abe:' then
      ours[name] = value
    else
      fields[#fields + 1], fields[#fields + 2] = name, value
    end
  end
  return fields, ours
end
