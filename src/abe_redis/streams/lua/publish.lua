-- Adds entries in order. An entry is not added if an event of its id was added before, or its twin: Slack
-- sends a mention as two events, `app_mention` and `message`.
--
-- A remembered id counts only while its entry's stream exists: after a DEL or FLUSHALL the event is
-- published anew; so it is if an older copy of the stream lacks the entry: see `is_lost`. The attempt tells
-- our own retry after a lost answer from a second publish of the same event. If one entry is refused, the
-- others are still added: they may come from other callers.
--
-- The caller names the buckets in which ids may be, by what it knows of the stream. Where it knows too
-- little, nothing is added, and it is told.
--
-- Earlier versions remember each id in a key of its own. Where a stream has entries when the first id is
-- kept in a bucket, those keys are read and written, too, for twice that id's time, or two days: until then
-- what they remember counts, and publishers of both versions may work at the same time.
--
-- KEYS  per run of entries: their stream, how it remembers; per entry its bucket at each level of the run;
--       of a run that says so, the key in which earlier versions remember its event; and of a mention, the
--       key that remembers which of the two was added
-- ARGV  how many entries a stream may have;
--       per run: how many entries, for how many ms their events are remembered (0: add without looking),
--       the lowest and the highest level, 1 if keys of earlier versions are named (else 0), 1 for mentions
--       (else 0);
--       per entry: its id in the buckets, its mark ('ATTEMPT SECONDS'), the type of a mention, how many words
--       its fields are, its fields' names and values
-- Answers one text: per run a line with the length that its stream had, and then how it remembers, unless
-- nothing is remembered; and a line per entry: its id, after '+' if this attempt had added it already, after
-- '!' if another had; or '?' if it is to be sent again, with all keys, and then '?' is before the length in
-- the run's line, too. If an entry was refused, the lines are items of a list, with errors among them. A
-- server that may not write answers one error for all.

-- include: full
-- include: is_lost
-- include: named
-- include: remembered_ids
local hard_maxlen = tonumber(ARGV[1])
local key, word = 1, 2 -- where the next are
local answers, is_refused = {}, false

-- The records of the stream that remembers so. They are not among KEYS, since few publishers need them.
local function records_beside(remembering)
  return (string.gsub(remembering, '^abe:seen:(.*):state$', 'abe:groups:%1', 1))
end

while key < #KEYS do
  local stream, remembers = KEYS[key], ARGV[word + 1] ~= '0'
  local entries, ms = tonumber(ARGV[word]), tonumber(ARGV[word + 1])
  local low, high = tonumber(ARGV[word + 2]), tonumber(ARGV[word + 3])
  local has_old, has_mentions = ARGV[word + 4] == '1', ARGV[word + 5] == '1'
  local length = redis.pcall('XLEN', stream)
  local remembering, is_mistaken, refusal = KEYS[key + 1]
  if type(length) == 'table' then
    is_mistaken = named(length, 'XLEN')
  elseif remembers then
    read_state(remembering, length, ms)
    if low > lowest or high < level or (earlier > 0 and not has_old) then is_mistaken = '?' end
  end
  key, word = key + 2, word + 6
  local line = #answers + 1
  answers[line] = type(length) == 'number' and length or 0
  for _ = 1, entries do
    local id, mark, mention = ARGV[word], ARGV[word + 1], ''
    word = word + 2
    if has_mentions then mention, word = ARGV[word], word + 1 end
    local first_word = word + 1
    word = first_word + ARGV[word]
    local first = key
    key = first + high - low + 1
    local old = has_old and KEYS[key]
    if old then key = key + 1 end
    local twin = mention ~= '' and KEYS[key]
    if twin then key = key + 1 end
    local answer = is_mistaken
    if not answer then
      local exists = length > 0 or redis.call('EXISTS', stream) == 1
      local known, bucket, due, known_earlier
      if remembers then
        known, bucket, due = remembered(id, '=' .. ms, first, low)
        if known and (not exists or is_lost(stream, string.match(known, '^%S+'))) then
          redis.call('HDEL', bucket, id)
          known, bucket, due = remembered(id, '=' .. ms, first, low)
        end
        known_earlier = not known and exists and earlier > 0 and redis.call('GET', old)
      end
      local kept = exists and twin and not known and not known_earlier and redis.call('GET', twin)
      -- WAIT is for what this connection wrote, and what was lost may have been written by another.
      if known then
        redis.call('HSET', bucket, id, known)
        answer = known_as(known, mark)
      elseif known_earlier then
        redis.call('SET', old, known_earlier, 'KEEPTTL')
        answer = known_as(known_earlier .. ' 0', mark)
      elseif kept and string.match(kept, '^%S+') ~= mention then
        redis.call('SET', twin, kept, 'KEEPTTL')
        answer = '!' .. string.match(kept, '%S+$')
      elseif length >= hard_maxlen then
        refusal = refusal or full(records_beside(remembering), hard_maxlen, length)
        answer = refusal
      else
        answer = redis.pcall('XADD', stream, '*', unpack(ARGV, first_word, word - 1))
        if type(answer) == 'table' then
          answer = named(answer, 'XADD')
          if string.sub(answer.err, 1, 8) == 'READONLY' then return answer end
        else
          if remembers then
            remember(id, answer, mark, bucket, due, ms, high)
            if earlier > 0 then
              redis.call('SET', old, answer .. ' ' .. string.match(mark, '^(.*) '), 'PX', ms)
            end
            if twin then redis.call('SET', twin, mention .. ' ' .. answer, 'PX', ms) end
          end
          length = length + 1
        end
      end
    end
    answers[#answers + 1] = answer
    is_refused = is_refused or type(answer) == 'table'
  end
  if is_mistaken == '?' then
    answers[line] = '?' .. answers[line]
  else
    answers[line] = answers[line] .. (remembers and not is_mistaken and ' ' .. said or '')
  end
end
return is_refused and answers or table.concat(answers, '\n')
