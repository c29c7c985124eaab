-- The consumer name of pending entries that nobody holds; no real consumer has this name.

local nobody = 'abe:nobody'
