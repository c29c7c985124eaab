-- Removes dead letters that are too old: few at a time, so that the server is not blocked. The next sweep
-- continues.
--
-- KEYS  streams of dead letters
-- ARGV  the age in ms; how many of a stream go at one call
-- Answers per stream how many it removed.

local age_ms, most = ARGV[1], ARGV[2]
local now = redis.call('TIME')[1] * 1000
local cutoff = string.format('(%.0f', math.max(0, now - age_ms))
local removed = {}

for i, dead in ipairs(KEYS) do
  removed[i] = 0
  if redis.call('TYPE', dead).ok == 'stream' then
    for _, entry in ipairs(redis.call('XRANGE', dead, '-', cutoff, 'COUNT', most)) do
      removed[i] = removed[i] + redis.call('XDEL', dead, entry[1])
    end
  end
end
return removed
