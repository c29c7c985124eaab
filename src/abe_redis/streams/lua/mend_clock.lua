-- Notices that the server's clock was set back, and repairs what would stand still until it has caught up.
--
-- While a group has pending entries, its records say what the clock last showed, and from which entry on
-- leases are still to be checked ('+': all are checked). When the clock shows less, postponed entries
-- become due earlier by the difference. A lease that began in the future shows no idle time, so it begins
-- anew; for a live holder this is only a renewal. If the last check was long ago, the clock may have been
-- set back in between, so leases are checked then, too. A server without memory accepts no record; the next
-- call tries again.
--
-- KEYS  per stream: the stream, the sorted set of postponed entries, its records
-- ARGV  group, the interval of the checks in ms, how many leases to check in each stream
-- Answers per stream: by how many ms the clock was newly found to be set back; 1 if more leases are to be
-- checked (else 0); and what the clock shows, in ms. If the first streams have enough leases for one call,
-- the others are not checked, and are answered as if they had more.

-- include: clock
-- include: note_gone
local group, every_ms, page = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
local tolerated_ms = 100 -- what a correction may be without being a step; things stand still for no longer
local field, now = 'clock ' .. group, now_ms()
local answers, rows_seen = {}, 0

local function advance(due, ms)
  local rows = redis.call('ZRANGE', due, 0, -1, 'WITHSCORES')
  for i = 1, #rows, 2 do redis.pcall('ZADD', due, string.format('%.17g', rows[i + 1] - ms), rows[i]) end
end

-- Begins the leases of a page anew that show no idle time; answers the entry from which to check the
-- others.
local function begin_anew(stream, records, from)
  local rows = redis.call('XPENDING', stream, group, from, '+', page)
  rows_seen = rows_seen + #rows
  for _, row in ipairs(rows) do
    local id, holder, idle = row[1], row[2], row[3]
    if idle == 0 and #redis.call('XCLAIM', stream, group, holder, 0, id, 'IDLE', 0, 'JUSTID') == 0 then
      redis.call('HINCRBY', records, 'lost ' .. group, 1) -- it was removed, and is forgotten now
      remember_gone(records, group, id)
    end
  end
  return #rows == page and '(' .. rows[page][1] or '+'
end

local function mend(stream, due, records)
  local known = redis.call('HGET', records, field)
  local summary = redis.pcall('XPENDING', stream, group)
  if is_absent(summary, 'XPENDING') or summary[1] == 0 then
    if known then redis.call('HDEL', records, field) end
    return 0, '+'
  end
  local last, from = string.match(known or '', '^(%d+) (%S+)$')
  local passed_ms = last and now - last
  if not last or passed_ms > 3 * every_ms or passed_ms < -tolerated_ms then from = '-' end
  if from == '+' and passed_ms < every_ms / 2 then return 0, '+' end -- somebody has just looked
  local back_ms = last and passed_ms < -tolerated_ms and -passed_ms or 0
  if back_ms > 0 then advance(due, back_ms) end
  if from ~= '+' then from = begin_anew(stream, records, from) end
  local noted = redis.pcall('HSET', records, field, string.format('%.0f %s', now, from))
  if type(noted) == 'table' then return 0, '+' end
  return back_ms, from
end

for i = 1, #KEYS, 3 do
  local back_ms, from = 0, '-'
  if rows_seen < page then back_ms, from = mend(KEYS[i], KEYS[i + 1], KEYS[i + 2]) end
  answers[#answers + 1] = {back_ms, from == '+' and 0 or 1, now}
end
return answers
