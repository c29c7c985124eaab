-- Adds the command's name to an error that lacks it: Redis 7.0 does not name the command that a user may
-- not send, and no server names one that was renamed.
local function named(refused, command)
  local is_unknown = string.find(refused.err, 'command called from script', 1, true)
  if not (is_unknown or string.find(refused.err, "can't run this command", 1, true)) then return refused end
  return {err = refused.err .. ' (' .. command .. ')'}
end
