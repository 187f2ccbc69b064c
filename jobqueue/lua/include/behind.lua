-- A stock producer that saves an old copy of a job writes its status of then. What runs goes on, and what has ended stays
-- ended: our own last word is put back.
-- Needs: record, limits, fraction.
-- Exports: put_back
local ENDED_IN = { finished = 'finished', failed = 'failed', stopped = 'failed', canceled = 'canceled' }
local DEEPEST = 20000

-- RQ's requeue takes a job out of its registry, an old copy does not; a worker of RQ's that ends it files it. A failed job that somebody has put into the list
-- may run again: it has no result to lose.
local function has_ended(id, f, popped)
  if not call('ZSCORE', P .. ':' .. ENDED_IN[f.last] .. ':' .. f.queue, id) then return false end
  local filed = ENDED_IN[f.status]
  if filed and call('ZSCORE', P .. ':' .. filed .. ':' .. f.queue, id) then return false end
  if f.last == 'finished' or f.last == 'canceled' then return true end
  return not (popped or call('LPOS', queue_key(f.queue), id, 'MAXLEN', DEEPEST))
end

-- Whose execution it is: from RQ's records of it, or from what each worker has claimed last.
local function holder(id, execution)
  local known = call('HGET', P .. ':execution:' .. id .. ':' .. execution, 'worker_name')
  if known then return known end
  for _, key in ipairs(call('SMEMBERS', P .. ':workers')) do
    local name = string.sub(key, #P + 9)
    for _, value in ipairs(call('HVALS', X .. 'worker:' .. name)) do
      if string.find(value, id .. ':' .. execution, 1, true) then return name end
    end
  end
  return ''
end

local function tell_run(id, f)
  call('HSET', job_key(id), 'started_at', iso(tonumber(f.fence)), 'worker_name', holder(id, f.exec))
  call('PERSIST', job_key(id))
end

-- The copy has emptied when it was; the result knows, or the registry.
local function tell_end(id, f)
  local last = call('XREVRANGE', P .. ':results:' .. id, '+', '-', 'COUNT', 1)[1]
  local flat, of = last and last[2] or {}, {}
  for i = 1, #flat, 2 do of[flat[i]] = flat[i + 1] end
  local started, ended = tonumber(of.execution_started_at), tonumber(of.execution_ended_at)
  if f.last == 'canceled' then started, ended = nil, tonumber(call('ZSCORE', P .. ':canceled:' .. f.queue, id)) end
  if started then call('HSET', job_key(id), 'started_at', iso(started * 1000000), 'worker_name', of.worker_name or '') end
  call('HSET', job_key(id), 'ended_at', iso((ended or clock[1]) * 1000000))
  local keep = tonumber(f.last == 'finished' and f.result_ttl or f.failure_ttl)
  if keep >= 0 and keep < 1e9 and call('TTL', job_key(id)) < 0 then call('EXPIRE', job_key(id), keep) end
end

local function leave_lines(id, f, popped)
  call('ZREM', P .. ':scheduled:' .. f.queue, id)
  call('ZREM', P .. ':deferred:' .. f.queue, id)
  if not popped then call('LREM', queue_key(f.queue), 0, id) end
  if not f.limiter then return end
  call('ZREM', P .. ':rl:' .. f.limiter .. ':rate_limited', id)
  if f.last ~= 'started' then call('ZREM', P .. ':rl:' .. f.limiter .. ':allowed', id) end
end

-- `f`: of a job whose status is behind our last word. `popped`: it has been taken from the list already.
-- Answers whether it was put back; if not, somebody wants it to run again.
function put_back(id, f, popped)
  if f.last == 'started' then
    if not f.exec or not call('ZSCORE', LEASES, id .. ':' .. f.exec) then return false end
  elseif not has_ended(id, f, popped) then
    return false
  end
  leave_lines(id, f, popped)
  local state = STATE[f.last]
  call('HSET', job_key(id), 'status', f.last, 'x_mark', mark(f.last), 'origin', f.queue)
  if f.last == 'started' then tell_run(id, f) else tell_end(id, f) end
  for _, other in ipairs(STATES) do call('ZREM', state_key(other), id) end
  call('ZADD', state_key(state), f.created, id)
  changed(id, state, state == 'completed' and 1 or fraction(call('HGET', job_key(id), 'x_progress')), f.user, f.type)
  return true
end
