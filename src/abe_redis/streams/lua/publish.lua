-- Adds entries in order, each unless an event of its id was added before.
--
-- A remembered id counts only while its entry's stream exists: after a DEL or FLUSHALL the event is
-- published anew. The attempt tells our own retry, whose first answer was lost, from a second publish of
-- the same event. What is refused is refused alone: the others may have come from others.
--
-- KEYS  per entry: its stream, the key that remembers its event
-- ARGV  how many entries a stream may have;
--       per entry: the attempt, for how many ms its event is remembered (0: add without looking), how many
--       words its fields are, its fields' names and values
-- Answers per entry: its id, 1 if it was there already (else 0), and the stream's length; or an error. A
-- server that may not write answers one error for all.

local hard_maxlen = tonumber(ARGV[1])
local entry = 2 -- where the entry's arguments begin
local answers = {}
local lengths = {} -- per stream, so that each is asked for its length once

for i = 1, #KEYS, 2 do
  local stream, seen = KEYS[i], KEYS[i + 1]
  local attempt, remember_ms, words = ARGV[entry], tonumber(ARGV[entry + 1]), ARGV[entry + 2]
  local first_word = entry + 3
  entry = first_word + words
  local answer
  local length = lengths[stream] or redis.pcall('XLEN', stream)
  if type(length) == 'table' then
    answer = length
  else
    local exists = length > 0 or redis.call('EXISTS', stream) == 1
    local known = exists and remember_ms > 0 and redis.call('GET', seen)
    if known then
      local id, first_attempt = string.match(known, '^(%S+) (.*)$')
      -- WAIT is for what this connection wrote, and what was lost may have been written by another.
      redis.call('SET', seen, known, 'KEEPTTL')
      answer = {id, first_attempt == attempt and 0 or 1, length}
    elseif length >= hard_maxlen then
      answer = redis.error_reply('STREAMFULL it has ' .. hard_maxlen .. ' entries')
    else
      answer = redis.pcall('XADD', stream, '*', unpack(ARGV, first_word, entry - 1))
      if type(answer) == 'table' and string.sub(answer.err, 1, 8) == 'READONLY' then return answer end
      if type(answer) == 'string' then
        if remember_ms > 0 then redis.call('SET', seen, answer .. ' ' .. attempt, 'PX', remember_ms) end
        length = length + 1
        answer = {answer, 0, length}
      end
    end
    lengths[stream] = length
  end
  answers[#answers + 1] = answer
end
return answers
