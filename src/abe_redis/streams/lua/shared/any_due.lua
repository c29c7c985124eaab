-- Whether any stream has postponed entries: usually one command says that none has. Their sets are every
-- `stride`-th key, from the key `first` on.
local function any_due(first, stride)
  local all_due = {}
  for i = first, #KEYS, stride do all_due[#all_due + 1] = KEYS[i] end
  return redis.call('EXISTS', unpack(all_due)) > 0
end
