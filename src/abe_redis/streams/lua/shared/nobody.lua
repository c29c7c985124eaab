-- The consumer names of pending entries that nobody holds; no real consumer has such a name: of released
-- entries, of postponed ones whose holder was silent for a lease, and of replayed ones.
--
-- XCLAIM makes the consumer that it names look alive, so no script claims an entry for another consumer.

local nobody, nobody_yet, nobody_again = 'abe:nobody', 'abe:postponed', 'abe:replay'
local nobodys = {[nobody] = true, [nobody_yet] = true, [nobody_again] = true}
