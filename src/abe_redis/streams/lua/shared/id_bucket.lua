-- What is remembered of published ids: the fields of a small hash, a bucket.
--
-- A field is an id, its value 'ENTRY ATTEMPT SECONDS': the id of the entry, what tells our own retry from a
-- second publish, and for how long it counts from the entry's time on. A field '=MS' says until when ids may
-- be added that count for so many ms without a look at when the bucket expires. That is put off then, and
-- what has had its time is removed, so that a bucket holds a quarter more than what counts.
--
-- Another program may have given a stream ids in microseconds, or any others that lie far ahead; those of
-- entries behind them do, too. Then an id counts from now on: its SECONDS are as far below zero as its entry
-- lies ahead, and each one puts off when the bucket expires.

local DAY = 24 * 60 * 60 * 1000

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
  local fields, over = redis.call('HGETALL', bucket), {}
  for i = 1, #fields, 2 do
    if string.sub(fields[i], 1, 1) ~= '=' and not is_alive(fields[i + 1], at) then
      over[#over + 1] = fields[i]
    end
  end
  if #over > 0 then redis.call('HDEL', bucket, unpack(over)) end
  return #fields / 2 - #over
end

-- Remembers an id for `lasting` ('=MS') in a bucket that is new or expires too early for it, and puts off
-- when the bucket expires, counted from the entry on, as the time of the id is; answers when that is, and
-- the entry's time. `due` is the value of the field `lasting`, if there is one.
local function remember_and_put_off(bucket, lasting, due, id, entry, mark)
  local at, ms = tonumber(string.match(entry, '^%d+')), tonumber(string.sub(lasting, 2))
  local time, value, added_until = now(), entry .. ' ' .. mark, nil
  if at > time + DAY then
    value = string.format('%s %s %.3f', entry, string.match(mark, '^(.*) '), (time + ms - at) / 1000)
    at, added_until = time, '0'
  end
  local expires = at + ms + math.ceil(ms / 4)
  redis.call('HSET', bucket, id, value, lasting, added_until or string.format('%.0f', expires - ms))
  local first, other = 'NX', 'GT' -- a bucket that is not new has a time to live, unless somebody took it away
  if due then first, other = other, first end
  local is_put_off = redis.call('PEXPIREAT', bucket, expires, first) == 1
  if not is_put_off then redis.call('PEXPIREAT', bucket, expires, other) end
  if due or not is_put_off then tidy(bucket, time) end
  return expires, at
end
