-- Limits in force: what was set through the API, else what was configured, else RQ-like defaults.
local function limits()
  local set = call('HMGET', X .. 'limits', 'total_set', 'per_user_set', 'total', 'per_user')
  return tonumber(set[1] or set[3] or 10), tonumber(set[2] or set[4] or 3)
end

local TOTAL, PER_USER = limits()

-- All running executions: ours are leases or stopping; every one of ours is in RQ's wip too, unless a stock tool removed
-- it, so the larger sum counts stock workers without counting ours twice.
local function running_now()
  local ours = call('ZCARD', LEASES) + call('ZCARD', STOPPING)
  local all = 0
  for _, key in ipairs(call('SMEMBERS', P .. ':queues')) do
    all = all + call('ZCOUNT', P .. ':wip:' .. string.sub(key, #P + 8), clock[1], '+inf') + call('LLEN', key .. ':intermediate')
  end
  return math.max(ours, all)
end
