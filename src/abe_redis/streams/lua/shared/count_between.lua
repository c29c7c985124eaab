-- How many entries lie behind a position, up to another ('+': the end of the stream), and 1 if these are
-- all (else 0). They are counted one by one, up to a bound. Beyond it the number follows from the lag of the
-- group that stands there, if Redis knows that, and if no more than that lie behind the other position.

-- include: range_behind
local function count_pages(stream, given, upto, most)
  local count, from = 0, given
  while count < most do
    local page = range_behind(stream, from, upto, math.min(100, most - count))
    count = count + #page
    if #page == 0 then return count, true end
    from = page[#page][1]
  end
  return count, #range_behind(stream, from, upto, 1) == 0
end

local function count_between(stream, given, upto, most, lag)
  local count, is_all = count_pages(stream, given, upto, most)
  if is_all then return count, 1 end
  local behind, is_known = 0, true
  if lag and upto ~= '+' then behind, is_known = count_pages(stream, upto, '+', most) end
  if not (lag and is_known) then return count, 0 end
  return math.max(count, lag - behind), 1
end
