-- Whose entries are that nobody holds, though they are pending: a name that no consumer has.

local nobody = 'abe:nobody'
