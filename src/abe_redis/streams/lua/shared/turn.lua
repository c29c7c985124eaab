-- A change that somebody makes by hand has a turn: it names the last change of this stream's groups before
-- it, itself, and until when its sender waits, by the clock of the server that has the stream. A copy that
-- arrives late finds another change there, or that the time is over, and changes nothing: its sender has said
-- it again, or given up. A copy that finds itself there is in its turn.

-- include: clock

-- The error for a change whose turn is over; nil while it is not.
local function out_of_turn(records, earlier, own, until_ms)
  if now_ms() > tonumber(until_ms) then
    return redis.error_reply('LATE The change arrived when its sender did not wait for it any more')
  end
  local last = redis.call('HGET', records, 'changed') or ''
  if last ~= earlier and last ~= own then
    return redis.error_reply('OVERTAKEN Another change of a group of this stream came first')
  end
end

-- Notes the change as the last one, when all else is written: a server without memory may refuse the note.
local function note_turn(records, own)
  redis.pcall('HSET', records, 'changed', own)
end
