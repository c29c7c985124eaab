-- An error with the name of the command that had it, where the server does not say which it refuses: Redis
-- 7.0 to a user without the right, and every server when the command was renamed away.
local function named(refused, command)
  local is_unknown = string.find(refused.err, 'command called from script', 1, true)
  if not (is_unknown or string.find(refused.err, "can't run this command", 1, true)) then return refused end
  return {err = refused.err .. ' (' .. command .. ')'}
end
