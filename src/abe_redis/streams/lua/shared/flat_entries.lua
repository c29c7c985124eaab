-- Entries of streams, which `XREADGROUP` gives in nested tables, in fewer tables: each stream, and a table of
-- its entries in turn, of each the id, how many words follow, its fields and values. Redis looks into each
-- table of an answer for signs of other kinds of answers, which takes longer than to write an entry.

local function flat_entries(streams)
  local answer = {}
  for _, stream_and_entries in ipairs(streams) do
    local words, size = {}, 0
    for _, entry in ipairs(stream_and_entries[2]) do
      local fields = entry[2]
      words[size + 1], words[size + 2] = entry[1], #fields
      for i = 1, #fields do words[size + 2 + i] = fields[i] end
      size = size + 2 + #fields
    end
    answer[#answer + 1], answer[#answer + 2] = stream_and_entries[1], words
  end
  return answer
end
