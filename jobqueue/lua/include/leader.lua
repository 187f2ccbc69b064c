-- A step of a cleanup goes on only while its term is the newest: a server that was frozen meanwhile stops here.
-- `term`, `hold`: microseconds that nobody else may begin. Needs: base.
local function is_superseded()
  if call('HGET', META, 'cleanup_term') ~= term then return true end
  call('HSET', META, 'cleanup_until', int(now + hold))
  return false
end
