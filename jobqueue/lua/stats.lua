#!lua flags=no-writes,allow-oom
-- One look at everything: counts by state, limits, workers, servers. Cost grows with the number of workers only.
-- Result: { counts, total, per_user, last_cleanup, now, workers, servers_rss_mb, redis_memory_bytes, cleanup_report };
-- a worker: { name, host, pid, queues, concurrency, running, rss_mb, beat in microseconds or '' for a stock
-- worker, drain = 1 when it ends as soon as its jobs have }.
local prefix = ARGV[1]
-- include: limits

local function workers()
  local found = {}
  local offset = #(P .. ':worker:') + 1
  for _, key in ipairs(call('SMEMBERS', P .. ':workers')) do
    local name = string.sub(key, offset)
    local w = call('HMGET', key, 'hostname', 'pid', 'queues', 'death')
    if w[1] and not w[4] then
      local own = call('HMGET', X .. 'worker:' .. name, 'concurrency', 'rss_mb', 'beat', 'drain')
      found[#found + 1] = { name, w[1], w[2] or '0', w[3] or '', own[1] or '1', call('SCARD', key .. ':executions'),
        own[2] or '0', own[3] or '', own[4] or '' }
    end
  end
  return found
end

local function servers_rss()
  local sum = 0
  for _, name in ipairs(call('ZRANGEBYSCORE', X .. 'servers', int(now - 15000000), '+inf')) do
    sum = sum + tonumber(call('HGET', X .. 'server:' .. name, 'rss_mb') or 0)
  end
  return sum
end

local counts = {}
for i, state in ipairs(STATES) do
  counts[i] = call('ZCARD', state_key(state))
end
local memory = string.match(call('INFO', 'memory'), 'used_memory:(%d+)') or '0'
return { counts, TOTAL, PER_USER, call('HGET', META, 'last_cleanup') or '', int(now), workers(), servers_rss(), memory,
  call('HGET', META, 'cleanup_report') or '' }
