-- What is remembered of published ids: the fields of a small hash, a bucket.
--
-- A field is an id, its value 'ENTRY ATTEMPT SECONDS': the id of the entry, what tells our own retry from a
-- second publish, and for how long it counts. A field '=MS' says until when ids may be added that count for
-- so many ms without a look at when the bucket expires. That is put off then, and what has had its time is
-- removed, so that a bucket holds a quarter more than what counts.

local function now()
  local time = redis.call('TIME')
  return time[1] * 1000 + math.floor(time[2] / 1000)
end

local function is_alive(value, at)
  return string.match(value, '^%d+') + string.match(value, '%S+$') * 1000 > at
end

-- The id of the entry in an id's value, after '+' if the mark is that of the same attempt, else after '!'.
local function known_as(value, mark)
  local entry, first_attempt = string.match(value, '^(%S+) (.*) %S+$')
  local attempt = string.match(mark, '^(.*) %S+$')
  return (string.sub(first_attempt, -#attempt) == attempt and '+' or '!') .. entry
end

-- Removes what has had its time from a bucket; answers how much is left.
local function tidy(bucket, at)
  local fields = redis.call('HGETALL', bucket)
  local left = #fields / 2
  for i = 1, #fields, 2 do
    if string.sub(fields[i], 1, 1) ~= '=' and not is_alive(fields[i + 1], at) then
      left = left - redis.call('HDEL', bucket, fields[i])
    end
  end
  return left
end

-- Puts off when a bucket expires, for ids that count for `lasting` ('=MS'); answers when that is.
local function put_off(bucket, lasting)
  local at, ms = now(), tonumber(string.sub(lasting, 2))
  local expires = at + ms + math.ceil(ms / 4)
  redis.call('HSET', bucket, lasting, expires - ms)
  if redis.call('PEXPIREAT', bucket, expires, 'NX') == 0 then -- it is not new
    redis.call('PEXPIREAT', bucket, expires, 'GT')
    tidy(bucket, at)
  end
  return expires
end
