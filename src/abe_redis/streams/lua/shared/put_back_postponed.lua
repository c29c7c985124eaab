-- Postponed entries that nobody holds: somebody removed the consumer that had postponed them, or what stood
-- in for it, and dropped them with that. They are in the set of postponed entries still.

-- include: ids
-- include: nobody
-- include: postponed
-- include: settled

-- Makes one of them pending again, as if nobody had looked after it for `idle_ms`; its score says how often
-- it was delivered, and `last` up to where the group was given entries. It is nobody's then: a worker that
-- has it takes it back. Before the first one, `put_back_given` must put back what was released: that the
-- consumer `abe:nobody` is gone is how that is known to be dropped.
--
-- Answers `back`, and what `note_all_back` is to note; `pending` when somebody holds it, or the group has yet
-- to be given it; or `gone` when the stream no longer has it.
local function put_back_postponed(stream, group, last, id, score, idle_ms)
  if before(last, id) or #redis.call('XPENDING', stream, group, id, id, 1) > 0 then return 'pending' end
  local deliveries = postponed_deliveries(score)
  local kept = redis.call('XCLAIM', stream, group, nobody, 0, id,
    'IDLE', idle_ms, 'RETRYCOUNT', deliveries, 'FORCE', 'JUSTID')
  if #kept == 0 then return 'gone' end
  return 'back', in_a_note(id, deliveries)
end
