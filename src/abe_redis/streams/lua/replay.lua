-- Delivers entries to one group again, in order, one step at a time; entries that it has not finished are
-- left alone.
--
-- XCLAIM FORCE makes an entry pending without adding it again. TIME 0 dates its row to the epoch, as a
-- release does, so that the next consumer takes it. Entries that are delivered during the replay are not
-- replayed (the first step sets the bound), nor entries that were redriven to another group. A redriven event
-- is there twice: where the range has the entry as it was published, its copy is left alone.
--
-- KEYS  the stream, its records
-- ARGV  group, the first position of this step and the last, how many entries one step looks at, the first
--       position of the range, its turn, and the bound that the first step answered (none in the first step)
-- Answers how many will be delivered again, the last id it looked at (false: there is no more), and the
-- bound; or an error when there is no such group, or it is out of turn.
-- flags: allow-oom

-- include: anew
-- include: facts
-- include: ids
-- include: nobody
-- include: settled
-- include: turn
local stream, records = KEYS[1], KEYS[2]
local group, from, to, step, first = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5]
local refused = out_of_turn(records, ARGV[6], ARGV[7], ARGV[8])
if refused then return refused end
local of = group_of(stream, group)
if not of then return redis.error_reply('NOGROUP No such consumer group') end
local replayed, last, bound = {}, false, ARGV[9] or of['last-delivered-id']

local function is_in_range(id)
  local found = string.match(id, '^%d+%-%d+$') and redis.call('XREVRANGE', stream, id, first, 'COUNT', 1)[1]
  return found and found[1] == id
end

local function is_left_alone(fields)
  for i = 1, #fields, 2 do
    local name, value = fields[i], fields[i + 1]
    if name == 'abe:only' and value ~= group then return true end
    if name == 'abe:first' and is_in_range(value) then return true end
  end
end

for _, entry in ipairs(redis.call('XRANGE', stream, from, to, 'COUNT', step)) do
  local id, fields = entry[1], entry[2]
  if before(bound, id) or before(of['last-delivered-id'], id) then
    last = false
    break
  end
  last = id
  if #redis.call('XPENDING', stream, group, id, id, 1) == 0 and not is_left_alone(fields) then
    redis.call('XCLAIM', stream, group, nobody_again, 0, id, 'TIME', 0, 'RETRYCOUNT', 0, 'FORCE', 'JUSTID')
    replayed[#replayed + 1] = in_a_note(id, 0)
  end
end
note_all_back(records, group, replayed)
note_anew(records, group)
note_turn(records, ARGV[7])
return {#replayed, last, bound}
