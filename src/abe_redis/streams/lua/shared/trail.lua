-- The trail of a group's records, by which a consumer notices that Redis came back with older data.
--
-- It says when the trail began (in µs), how often consumers have recorded the group since, and when they did
-- so last (in ms): so the same record never has another time, unless Redis has lost it, and somebody wrote
-- another one.

local most_times = 20

local function longer_trail(trail, now)
  local began, count, times = string.match(trail, '^(%d+) (%d+)(.*)$')
  if not began then began, count, times = string.format('%s%06d', unpack(redis.call('TIME'))), 0, '' end
  if select(2, string.gsub(times, ' ', ' ')) >= most_times then times = string.match(times, '^ %d+(.*)$') end
  return string.format('%s %.0f%s %.0f', began, count + 1, times, now)
end
