-- The arguments that set the position of a group: `command` is CREATE or SETID, and `entries_read` is the
-- number of entries before the position, if known.

local function to_position(command, stream, group, position, entries_read)
  if not entries_read then return 'XGROUP', command, stream, group, position end
  return 'XGROUP', command, stream, group, position, 'ENTRIESREAD', string.format('%.0f', entries_read)
end
