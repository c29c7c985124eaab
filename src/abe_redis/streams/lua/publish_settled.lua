-- Adds entries as `publish` does, in fewer steps, to streams whose state is what the caller says, and where
-- keys of earlier versions do not count. What is not so simple is left to `publish`, with all that stands
-- behind it in its stream, so that entries stay in order.
--
-- KEYS  per run of entries: their stream, its state; per entry its bucket, and those at the levels below
-- ARGV  how many entries a stream may have;
--       per run: the state, how many entries, how many levels below, for how long their events are remembered
--       ('=MS'), how many words the fields of each are;
--       per entry: its id in the bucket, its mark ('ATTEMPT SECONDS'), its fields' names and values
-- Answers as `publish` does; an entry that is left to it is to be sent again.

local call = redis.call
local hard_maxlen = tonumber(ARGV[1])
local key, word = 1, 2 -- where the next are
local answers, is_left = {}, {}

-- include: seldom
while KEYS[key] do
  local stream, state = KEYS[key], KEYS[key + 1]
  local said, entries, below = ARGV[word], ARGV[word + 1], tonumber(ARGV[word + 2])
  local lasting, words = ARGV[word + 3], tonumber(ARGV[word + 4])
  key, word = key + 2, word + 5
  local length = call('GET', state) == said and redis.pcall('XLEN', stream)
  local is_simple = type(length) == 'number' and length > 0 and not is_left[stream]
  local before, line = is_simple and length or 0, #answers + 1
  answers[line] = before
  for _ = 1, entries do
    local answer
    if is_simple then
      local bucket, id, mark = KEYS[key], ARGV[word], ARGV[word + 1]
      local found = call('HMGET', bucket, lasting, id)
      local due, holder, known = found[1], bucket, found[2]
      for at = key + 1, key + below do
        if not known then holder, known = KEYS[at], call('HGET', KEYS[at], id) end
      end
      if known then
        answer = seldom(holder, lasting, id, mark, known, stream)
      elseif length < hard_maxlen then
        answer = redis.pcall('XADD', stream, '*', unpack(ARGV, word + 2, word + 1 + words))
        if type(answer) == 'string' then
          if due and due >= answer then
            call('HSET', bucket, id, answer .. ' ' .. mark)
          else
            seldom(bucket, lasting, id, mark, nil, stream, state, said, due, answer)
          end
          length = length + 1
        elseif string.sub(answer.err, 1, 8) == 'READONLY' then
          return answer
        else
          answer = nil
        end
      end
      is_simple = answer
    end
    key, word = key + 1 + below, word + 2 + words
    answers[#answers + 1] = answer or '?'
  end
  if not is_simple then answers[line], is_left[stream] = '?' .. answers[line], true end
end
return table.concat(answers, '\n')
