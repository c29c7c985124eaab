-- The reasons for which a group's entries are postponed: a hash by their ids, kept only as long as they are
-- postponed, and for so many at most. It lies in the slot of the others and is not among KEYS, so that a user
-- whose rights do not reach it, and a slot that moves, cost the reasons and nothing else.
local most_reasons = 1000

local function reasons_beside(due)
  return (string.gsub(due, '^abe:due:', 'abe:reasons:', 1))
end

-- Notes the reason of an entry ('': none is known).
local function note_reason(due, id, reason, keep_ms)
  local reasons = reasons_beside(due)
  redis.pcall('HDEL', reasons, id)
  local count = redis.pcall('HLEN', reasons)
  if reason == '' or type(count) ~= 'number' or count >= most_reasons then return end
  redis.pcall('HSET', reasons, id, reason)
  redis.pcall('PEXPIRE', reasons, keep_ms)
end

-- Why an entry is postponed; '' when that is not known.
local function reason_of(due, id)
  local reason = redis.pcall('HGET', reasons_beside(due), id)
  return type(reason) == 'string' and reason or ''
end

-- Notes that entries are not postponed any more.
local function not_due(due, ...)
  if redis.call('ZREM', due, ...) > 0 then redis.pcall('HDEL', reasons_beside(due), ...) end
end

-- Notes that none is.
local function none_due(due)
  redis.call('DEL', due)
  redis.pcall('DEL', reasons_beside(due))
end
