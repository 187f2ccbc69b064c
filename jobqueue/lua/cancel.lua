#!lua flags=allow-oom
-- Cancels a job that has not ended. A running one keeps its slot until its execution has really stopped.
-- Result: 1 cancelled now, 0 was cancelled already. Errors: NOT_FOUND, WRONG_STATE <state>. Emits: cancelled.
local prefix = ARGV[1]
local id = ARGV[2]
local retention = tonumber(ARGV[3])
-- include: call_off
-- include: adopt
-- include: release_dependents
-- include: sound

local f = sound_job(id, 'worker_name', 'x_progress', 'origin')
if not f then return refuse('NOT_FOUND', id) end
if f.state == 'cancelled' then return 0 end
if f.state == 'completed' or f.state == 'failed' then
  publish()
  return refuse('WRONG_STATE', f.state)
end
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

-- A stock worker has begun it, and no tick has seen that.
if f.last and STATE[f.last] ~= f.state then call('ZREM', state_key(STATE[f.last]), id) end
if f.state == 'running' then tell_worker() else leave_line(id, f) end
end_cancelled(id, f, retention, '')
release_dependents(MOST_RELEASED)
give_back()
mark_queued()
publish()
return 1
