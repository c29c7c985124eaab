-- How a stream remembers published ids: in which buckets.
--
-- An id has a bucket at each of five levels, chosen by its hash alone, and each level has eight times
-- as many as the one before. A stream keeps new ids at one level. When a bucket there is full, the stream
-- goes on to the next level, and nothing is moved: in the levels below, down to the lowest in use, ids are
-- looked for until all that can be there have had their time.
--
-- How a stream remembers is a key of its own, its state: 'EXPIRES LEVEL LOWEST BELOW EARLIER'. It EXPIRES
-- after every bucket of the stream, since it is written anew in time. BELOW is until when ids are looked for
-- below LEVEL, and EARLIER until when the keys of earlier versions count; 0 when they are not any more.

-- include: id_bucket
local FULL, CROWDED = 96, 72

-- The stream at hand.
local state, said, state_expires, level, lowest, below, earlier, is_news

-- Reads how a stream remembers, before an id is remembered for so many ms.
local function read_state(key, length, ms)
  state, said = key, redis.call('GET', key) or ''
  local expires, at_level, rest = string.match(said, '^(%d+) (%d) (.*)$')
  state_expires, level = tonumber(expires or 0), tonumber(at_level or 0)
  lowest, below, earlier, is_news = level, 0, 0, said == ''
  if is_news then
    if length > 0 then earlier = now() + 2 * math.max(ms, DAY) end
  elseif rest ~= at_level .. ' 0 0' then
    lowest, below, earlier = string.match(rest, '^(%d+) (%d+) (%d+)$')
    lowest, below, earlier = tonumber(lowest), tonumber(below), tonumber(earlier)
    local at = now()
    if below > 0 and below <= at then lowest, below, is_news = level, 0, true end
    if earlier > 0 and earlier <= at then earlier, is_news = 0, true end
  end
end

local function keep_state()
  said = string.format('%.0f %d %d %.0f %.0f', state_expires, level, lowest, below, earlier)
  redis.call('SET', state, said, 'PXAT', string.match(said, '^%d+'))
  is_news = false
end

-- The value of an id, if it is remembered, else false; the bucket where it is, or belongs; until when ids may
-- be added there as they are. `first` is where in KEYS the buckets of the id begin, with that of level `low`.
local function remembered(id, lasting, first, low)
  local bucket = KEYS[first + level - low]
  local found = redis.call('HMGET', bucket, lasting, id)
  local value = found[2]
  if value and is_alive(value, now()) then return value, bucket end
  for at_level = level - 1, lowest, -1 do
    value = redis.call('HGET', KEYS[first + at_level - low], id)
    if value and is_alive(value, now()) then return value, KEYS[first + at_level - low] end
  end
  return false, bucket, found[1]
end

-- Remembers an id for so many ms in its bucket, and goes on to the next level, at most up to `high`, if that
-- is full.
local function remember(id, entry, mark, bucket, due, ms, high)
  local expires, at = 0, nil
  if due and due >= entry then
    redis.call('HSET', bucket, id, entry .. ' ' .. mark)
  else
    expires, at = remember_and_put_off(bucket, '=' .. ms, due, id, entry, mark)
  end
  if expires > state_expires or state_expires == 0 then
    state_expires, is_news = (at or now()) + 2 * ms, true
  end
  if level < high and redis.call('HLEN', bucket) > FULL and tidy(bucket, now()) > CROWDED then
    level, below, is_news = level + 1, state_expires, true
  end
  if is_news then keep_state() end
end
