-- How many executions there are now, ours and those of stock workers. Needs: base.
local function stock_worker_lives()
  for _, key in ipairs(call('SMEMBERS', P .. ':workers')) do
    if call('EXISTS', X .. 'worker:' .. string.sub(key, #P + 9)) == 0 and call('EXISTS', key) == 1 then return true end
  end
  return false
end

-- All running executions: ours are leases or stopping; every one of ours is in RQ's wip too, unless a stock tool removed
-- it, so the larger sum counts stock workers without counting ours twice. A stock worker that takes a job has it in an
-- intermediate list for a moment; what one left there that died counts for nothing.
local function running_now()
  local ours = call('ZCARD', LEASES) + call('ZCARD', STOPPING)
  local all, on_the_way = 0, 0
  for _, key in ipairs(call('SMEMBERS', P .. ':queues')) do
    all = all + call('ZCOUNT', P .. ':wip:' .. string.sub(key, #P + 8), clock[1], '+inf')
    on_the_way = on_the_way + call('LLEN', key .. ':intermediate')
  end
  if on_the_way > 0 and stock_worker_lives() then all = all + on_the_way end
  return math.max(ours, all)
end
