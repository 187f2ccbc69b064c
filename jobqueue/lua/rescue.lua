#!lua flags=allow-oom
-- Takes back what lost workers held: at most `batch` expired leases a call. A job goes back to wait, or fails when it
-- has lost too many workers; a cancelled one only gives its slot back.
-- Nobody is rescued for one lease after the server was restarted, was out of reach or its clock jumped: living workers
-- renew first. `tick`: microseconds between two calls in normal times.
-- Result: { requeued, failed, stopped, more }. Emits: pending, failed.
local prefix = ARGV[1]
local interval = tonumber(ARGV[2])
local lease = tonumber(ARGV[3])
local batch = tonumber(ARGV[4])
local tick = tonumber(ARGV[5])
-- include: throttle
-- include: failures
-- include: unleased
-- include: execution_records
-- include: release_dependents
-- include: follow
-- include: wake
-- include when needed: damaged

local function holds_back()
  local last = tonumber(call('HGET', META, 'rescue_tick') or now)
  local run_id = string.match(call('INFO', 'server'), 'run_id:(%w+)')
  local known = call('HGET', META, 'run_id')
  -- Leases are renewed each third: after a longer silence of all tickers living workers may be late through no fault of
  -- theirs. A silence of a few ticks is none.
  if run_id ~= known or now - last > math.max(lease / 3, 3 * tick) or last - now > 1000000 then
    call('HSET', META, 'run_id', run_id, 'rescue_after', int(now + lease))
  end
  call('HSET', META, 'rescue_tick', int(now))
  local after = tonumber(call('HGET', META, 'rescue_after') or 0)
  return now < after and after - now <= lease
end

local LOST = 'the worker was lost'

local function split(token)
  local id, execution = string.match(token, '^(.*):([^:]*)$')
  return id, execution
end

local counts = { requeued = 0, failed = 0, stopped = 0 }

-- RQ's tools have given it up before the lease was over, or it has ended in a call that failed half-way.
local function leave_to_others(id, f)
  call('HSET', job_key(id), 'x_run', pack_run(f))
  if f.limiter and f.status == 'queued' then keep_admitted(f.limiter, id) end
  if differs(f.status, f.last) then accept(id, f) end
end

local function rescue(token)
  local id, execution = split(token)
  if not id then return call('ZREM', LEASES, token) end
  local f = job(id, 'worker_name', 'x_records', 'x_progress', 'x_error')
  if f and f.damaged and f.damaged ~= 'status' then
    load_damaged()
    return bury(id)
  end
  if not f or f.exec ~= execution then return purge_token(token, id) end
  free_slot(id, token, f.user, f.limiter, f.queue, f.type)
  if f.x_records then forget_records(f.worker_name, id, execution) end
  if f.state == 'cancelled' then
    counts.stopped = counts.stopped + 1
    return settle_foreign_cancel(id)
  end
  f.exec = nil
  local has_ended = f.last == 'finished' or f.last == 'failed'
  if has_ended or f.status ~= 'started' and not is_in_wip(token, f.queue) then return leave_to_others(id, f) end
  f.losses = f.losses + 1
  if f.losses < tonumber(f.max_lost) then
    counts.requeued = counts.requeued + 1
    requeue(id, f, 0, 'lost', LOST)
  else
    counts.failed = counts.failed + 1
    local error = 'WorkerLost: the worker was lost in ' .. f.losses .. ' attempts'
    fail(id, f, f.worker_name or '', execution, error, '')
  end
end

if too_soon('rescue_throttle', interval) or holds_back() then return { 0, 0, 0, 0 } end
local before = running_now()
-- Besides those that are over: no worker asks for a lease so long that it ends in years.
local NEVER = now + 1000 * lease + 86400000000
local function over(key)
  local tokens = call('ZRANGEBYSCORE', key, '-inf', int(now), 'LIMIT', 0, batch)
  for _, token in ipairs(call('ZRANGEBYSCORE', key, int(NEVER), '+inf', 'LIMIT', 0, batch)) do tokens[#tokens + 1] = token end
  return tokens
end
local expired, ended = over(LEASES), over(STOPPING)
for _, token in ipairs(expired) do rescue(token) end
for _, token in ipairs(ended) do
  local id = split(token)
  local f = id and job(id)
  if not id then
    call('ZREM', STOPPING, token)
  elseif f and not f.created or f and not f.attempt then
    load_damaged()
    bury(id)
  elseif f then
    free_stopping(id, token, f)
    counts.stopped = counts.stopped + 1
  else
    purge_token(token, id)
  end
end
purge_ownerless()
release_dependents(MOST_RELEASED)
give_back()
mark_queued()
wake_waiting(before)
publish()
return { counts.requeued, counts.failed, counts.stopped, (#expired >= batch or #ended >= batch) and 1 or 0 }
