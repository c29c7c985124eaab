-- The lease that an owner's token names, in ms; nil when it names none.

local function lease_in(token)
  return tonumber(string.match(token, ' lease=(%d+)$'))
end
