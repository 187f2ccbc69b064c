-- Periodic scripts run in every server and worker; this lets one of them act per interval. Needs: base.
local function too_soon(name, interval)
  local last = tonumber(call('HGET', META, name) or 0)
  -- A clock that went backwards must not stop the work for as long as it went back.
  if last <= now and now - last < interval then return true end
  call('HSET', META, name, int(now))
  return false
end
