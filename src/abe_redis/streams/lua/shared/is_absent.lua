-- Whether a stream or a group does not exist, by the reply to a command about it. Any other error ends the
-- script, such as a command that this user may not send.

-- include: named
local function is_absent(answer, command)
  if not answer.err then return false end
  local code = string.match(answer.err, '^%-?(%S+)')
  if code == 'NOGROUP' or code == 'WRONGTYPE' or string.find(answer.err, 'no such key', 1, true) then
    return true
  end
  error(named(answer, command))
end
