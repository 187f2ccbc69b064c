-- A key of ours that holds another type than its name promises goes aside under another name; what it held is put together
-- again by the cleanup. Answers whether it was so. Needs: base.
local function put_aside(key, wanted)
  local found = call('TYPE', key).ok
  if found == 'none' or found == wanted then return false end
  call('RENAME', key, X .. 'aside:' .. key)
  return true
end
