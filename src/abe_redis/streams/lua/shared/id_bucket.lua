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
  local expires = at + ms + math.ceil(ms / 4)
  redis.call('HSET', bucket, id, entry .. ' ' .. mark, lasting, string.format('%.0f', expires - ms))
  local first, other = 'NX', 'GT' -- a bucket that is not new has a time to live, unless somebody took it away
  if due then first, other = other, first end
  local is_put_off = redis.call('PEXPIREAT', bucket, expires, first) == 1
  if not is_put_off then redis.call('PEXPIREAT', bucket, expires, other) end
  if due or not is_put_off then tidy(bucket, now()) end
  return expires, at
end
