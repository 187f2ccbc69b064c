#!lua flags=allow-oom
-- Cancels a job that has not ended. A running one keeps its slot until its execution has really stopped.
-- Result: 1 cancelled now, 0 was cancelled already. Errors: NOT_FOUND, WRONG_STATE <state>. Emits: cancelled.
local prefix = ARGV[1]
local id = ARGV[2]
local retention = tonumber(ARGV[3])
-- include: base
-- include: events
-- include: limits
-- include: admission
-- include: record
-- include: slots
-- include: adopt

local f = job(id, 'worker_name', 'x_progress', 'origin')
if not f then return refuse('NOT_FOUND', id) end
if f.state == 'cancelled' then return 0 end
if f.state == 'completed' or f.state == 'failed' then return refuse('WRONG_STATE', f.state) end
if not f.created then
  local worker = f.worker_name
  f = adopt(id, f.origin or 'default')
  f.worker_name = worker
end

local token = id .. ':' .. (f.exec or '')
local lease = f.state == 'running' and call('ZSCORE', LEASES, token)

-- The execution goes on to hold its slots until it answers or its lease ends; its worker is told at once.
local function tell_worker()
  if lease then
    call('ZREM', LEASES, token)
    call('ZADD', STOPPING, lease, token)
    f.stopping = f.exec
  end
  if f.worker_name and f.worker_name ~= '' then
    local command = lease and { command = 'cancel-execution', job_id = id, execution_id = f.exec }
      or { command = 'stop-job', job_id = id }
    call('PUBLISH', P .. ':pubsub:' .. f.worker_name, cjson.encode(command))
  end
end

local function leave_line()
  local found = call('ZREM', P .. ':scheduled:' .. f.queue, id) + call('ZREM', P .. ':deferred:' .. f.queue, id)
    + call('ZREM', X .. 'parked:' .. f.user, id)
  if call('EXISTS', X .. 'parked:' .. f.user) == 0 then call('SREM', X .. 'parked', f.user) end
  if f.limiter then
    found = found + call('ZREM', waiting_key(f.limiter), id)
    remember(f.limiter, id)
  end
  -- Last, because it looks through the whole list; who stood elsewhere is not in it.
  if found == 0 then call('LREM', queue_key(f.queue), 0, id) end
end

if f.state == 'running' then tell_worker() else leave_line() end
call('HSET', job_key(id), 'status', 'canceled', 'x_mark', mark('canceled'), 'x_run', pack_run(f), 'ended_at', iso(now))
call('HDEL', job_key(id), 'x_retry')
call('EXPIRE', job_key(id), retention)
call('ZADD', P .. ':canceled:' .. f.queue, clock[1], id)
move_state(id, f.state, 'cancelled', f.created)
give_back()
flush_pushed()
mark_queued()
changed(id, 'cancelled', tonumber(f.x_progress or 0), f.user, f.type)
publish()
return 1
