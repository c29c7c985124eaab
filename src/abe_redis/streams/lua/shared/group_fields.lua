-- The one list of what the records of a stream hold of each of its groups: a field is named by these words
-- and the group. No field begins with another one and a space: else two groups could share a field. Beside
-- each stand the changes of the group that make the field void:
--   moved    our command moves the group: what is known of its entries and of its position begins anew
--   made     our command makes a group again of which there are records: the same, and it is not paused
--   deleted  somebody deleted the stream: all that its entries and their ids say is void
-- When our command removes the group, all of this goes.
--
-- `worked` is not among them: it stays known of a group that our command removed (see `removed_groups`).
local group_fields = {
  ['anew'] = '', -- since when it may be given again what it had: see `anew`
  ['began'] = 'made deleted', -- behind which id it was given everything: see `began`
  ['clock'] = '', -- what the server's clock last showed
  ['deleted'] = 'moved made deleted',
  ['floor'] = 'moved made deleted',
  ['forgotten'] = '', -- consumers that held nothing
  ['given'] = 'moved made deleted',
  ['gone'] = 'moved made deleted',
  ['known'] = 'moved made deleted',
  ['last'] = 'moved made deleted',
  ['let go'] = '', -- a late command of before the change must not touch what begins anew with it
  ['lost'] = 'moved made', -- when the stream is deleted, it grows
  ['overtaken'] = 'moved made deleted',
  ['paused'] = 'made',
  ['put back'] = '', -- a number that only grows, by which an owner notices that it did
  ['read'] = 'moved made deleted',
  ['reclaimed'] = 'moved made', -- what others took of a deleted stream, its former holder has not lost
  ['replaced'] = 'moved made deleted', -- between which ids all that is gone is counted: see `replaced`
  ['skipped'] = 'moved made deleted',
  ['taken'] = '', -- what workers have yet to let go of, because of this change too
  ['trail'] = '', -- by which a worker notices that Redis came back with older data
  ['unused'] = 'moved made deleted', -- for how long trimming has seen that nobody uses it
  ['used'] = '',
}

-- Forgets of a group what a change makes void; `removed`: everything.
local function forget_group(records, group, change)
  local words = {'HDEL', records}
  for field, changes in pairs(group_fields) do
    if change == 'removed' or string.find(changes, change, 1, true) then
      words[#words + 1] = field .. ' ' .. group
    end
  end
  redis.call(unpack(words))
end
