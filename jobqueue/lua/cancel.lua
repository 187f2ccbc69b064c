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
-- include: slots
-- include: record
-- include: adopt

local f = fields(id, { 'status', 'origin', 'x_user', 'rate_limit_key', 'x_created', 'x_exec', 'x_type', 'x_progress',
  'x_retry', 'worker_name' })
if not f.status then return refuse('NOT_FOUND', id) end
local state = state_of(f)
if state == 'cancelled' then return 0 end
if state == 'completed' or state == 'failed' then return refuse('WRONG_STATE', state) end
if not f.x_created then adopt(id, f, f.origin or 'default') end

local token = id .. ':' .. (f.x_exec or '')
local lease = state == 'running' and call('ZSCORE', LEASES, token)

-- The execution goes on to hold its slots until it answers or its lease ends; its worker is told at once.
local function tell_worker()
  if lease then
    call('ZREM', LEASES, token)
    call('ZADD', STOPPING, lease, token)
    call('HSET', job_key(id), 'x_stopping', f.x_exec)
  end
  if f.worker_name and f.worker_name ~= '' then
    local command = lease and { command = 'cancel-execution', job_id = id, execution_id = f.x_exec }
      or { command = 'stop-job', job_id = id }
    call('PUBLISH', P .. ':pubsub:' .. f.worker_name, cjson.encode(command))
  end
end

local function leave_line()
  call('LREM', queue_key(f.origin), 0, id)
  call('ZREM', P .. ':scheduled:' .. f.origin, id)
  call('ZREM', P .. ':deferred:' .. f.origin, id)
  call('ZREM', X .. 'parked:' .. f.x_user, id)
  if call('EXISTS', X .. 'parked:' .. f.x_user) == 0 then call('SREM', X .. 'parked', f.x_user) end
  if f.rate_limit_key then
    call('ZREM', waiting_key(f.rate_limit_key), id)
    free_place(id, f)
  end
end

call('HSET', job_key(id), 'status', 'canceled', 'x_status', 'canceled', 'ended_at', iso(now), 'x_seq', seq(),
  'x_status_seq', seq())
call('HDEL', job_key(id), 'x_retry')
call('EXPIRE', job_key(id), retention)
call('ZADD', P .. ':canceled:' .. f.origin, math.floor(now / 1000000), id)
move_state(id, state, 'cancelled', f.x_created)
if state == 'running' then tell_worker() else leave_line() end
give_back()
flush_pushed()
mark_queued()
changed(id, 'cancelled', seq(), tonumber(f.x_progress or 0), '', f.x_user, f.x_type or '')
publish()
return 1
