-- The beginning of the names of the keys of this kind that the groups of a stream have, by the key of its
-- records; the name of the group follows. For scripts that are not given such keys: they do not know which
-- groups there are, or seldom need one.
local function beside(records, kind)
  return string.gsub(records, '^abe:groups:', 'abe:' .. kind .. ':') .. ':'
end
