-- The names of keys beside the records of a stream, for scripts that are not given such keys: they do not
-- know which groups there are, or seldom need one.

-- The name of a group within a key: without a colon, so that the keys of no two groups are alike.
local function in_key(group)
  return (string.gsub(group, '[%%:]', {['%'] = '%25', [':'] = '%3A'}))
end

-- The key of this kind that a group has.
local function beside(records, kind, group)
  return string.gsub(records, '^abe:groups:', 'abe:' .. kind .. ':') .. ':' .. in_key(group)
end

-- The key of the records, by that of a group's postponed entries.
local function records_beside(due)
  return (string.gsub(string.gsub(due, ':[^:]*$', ''), '^abe:due:', 'abe:groups:'))
end
