local function named(refused) return refused end
-- Adds entries in order, each unless an event of its id was added before, or its twin: the other of the two
-- events that Slack sends of a mention, as `app_mention` and as `message`.
--
-- A remembered id counts only while its entry's stream exists: after a DEL or FLUSHALL the event is
-- published anew. The attempt tells our own retry, whose first answer was lost, from a second publish of
-- the same event. What is refused is refused alone: the others may have come from others.
--
-- KEYS  per entry: its stream, the key that remembers its event; and of a mention, the key that remembers
--       which of the two events was added
-- ARGV  how many entries a stream may have;
--       per entry: the attempt, for how many ms its event is remembered (0: add without looking), its type if
--       it is a mention (else ''), how many words its fields are, its fields' names and values
-- Answers per entry: its id, 1 if it was there already (else 0), and the stream's length; or an error. A
-- server that may not write answers one error for all.


local hard_maxlen = tonumber(ARGV[1])
local entry = 2 -- where the entry's arguments begin
local answers = {}
local lengths = {} -- per stream, so that each is asked for its length once

local key = 1
while key < #KEYS do
  local attempt, remember_ms, mention, words =
    ARGV[entry], tonumber(ARGV[entry + 1]), ARGV[entry + 2], ARGV[entry + 3]
  local stream, seen, twin = KEYS[key], KEYS[key + 1], mention ~= '' and KEYS[key + 2]
  key = key + (twin and 3 or 2)
  local first_word = entry + 4
  entry = first_word + words
  local answer
  local length = lengths[stream] or redis.pcall('XLEN', stream)
  if type(length) == 'table' then
    answer = named(length, 'XLEN')
  else
    local exists = length > 0 or redis.call('EXISTS', stream) == 1
    local known = exists and remember_ms > 0 and redis.call('GET', seen)
    local kept = exists and twin and not known and redis.call('GET', twin)
    if known then
      local id, first_attempt = string.match(known, '^(%S+) (.*)$')
      -- WAIT is for what this connection wrote, and what was lost may have been written by another.
      redis.call('SET', seen, known, 'KEEPTTL')
      answer = {id, first_attempt == attempt and 0 or 1, length}
    elseif kept and string.match(kept, '^%S+') ~= mention then
      redis.call('SET', twin, kept, 'KEEPTTL')
      answer = {string.match(kept, '%S+$'), 1, length}
    elseif length >= hard_maxlen then
      answer = redis.error_reply('STREAMFULL it has ' .. hard_maxlen .. ' entries')
    else
      answer = redis.pcall('XADD', stream, '*', unpack(ARGV, first_word, entry - 1))
      if type(answer) == 'table' then answer = named(answer, 'XADD') end
      if type(answer) == 'table' and string.sub(answer.err, 1, 8) == 'READONLY' then return answer end
      if type(answer) == 'string' then
        if remember_ms > 0 then
          redis.call('SET', seen, answer .. ' ' .. attempt, 'PX', remember_ms)
          if twin then redis.call('SET', twin, mention .. ' ' .. answer, 'PX', remember_ms) end
        end
        length = length + 1
        answer = {answer, 0, length}
      end
    end
    lengths[stream] = length
  end
  answers[#answers + 1] = answer
end
return answers
