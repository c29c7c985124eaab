-- Adds one entry as `publish_settled` does, in fewer steps, where no ids are looked for below the level of
-- the bucket. What is not so simple is left to `publish`.
--
-- KEYS  the stream, its state, the entry's bucket
-- ARGV  how many entries a stream may have, the state, for how long the event is remembered ('=MS'), its id
--       in the bucket, its mark ('ATTEMPT SECONDS'), its fields' names and values
-- Answers as `publish` does; an entry that is left to it is to be sent again.

-- include: seldom
local call, argv = redis.call, ARGV
local stream, bucket, said, id, mark = KEYS[1], KEYS[3], argv[2], argv[4], argv[5]
local length = call('GET', KEYS[2]) == said and redis.pcall('XLEN', stream)
if type(length) ~= 'number' or length == 0 then return '?0\n?' end
local found = call('HMGET', bucket, argv[3], id)
local due, known, answer = found[1], found[2]
if known then
  answer = seldom(bucket, argv[3], id, mark, known, stream)
elseif length < tonumber(argv[1]) then
  answer = redis.pcall('XADD', stream, '*', unpack(argv, 6))
  if type(answer) == 'string' then
    if due and due >= answer then
      call('HSET', bucket, id, answer .. ' ' .. mark)
    else
      seldom(bucket, argv[3], id, mark, nil, stream, KEYS[2], said, due, answer)
    end
  elseif string.sub(answer.err, 1, 8) == 'READONLY' then
    return answer
  else
    answer = nil
  end
end
if answer then return length .. '\n' .. answer end
return '?' .. length .. '\n?'
