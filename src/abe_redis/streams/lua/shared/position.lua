-- The words that put a group at a position: `command` is CREATE or SETID, and `entries_read` says how many
-- entries lie before the position, if that is known.

local function to_position(command, stream, group, position, entries_read)
  if not entries_read then return 'XGROUP', command, stream, group, position end
  return 'XGROUP', command, stream, group, position, 'ENTRIESREAD', string.format('%.0f', entries_read)
end
