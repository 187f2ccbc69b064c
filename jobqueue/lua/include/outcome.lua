-- The two ends of a run as RQ stores them: status, result stream, registry, expiry.
-- Needs: base, record, events.
local function expire(id, ttl)
  for _, key in ipairs({ job_key(id), P .. ':results:' .. id }) do
    if ttl < 0 then call('PERSIST', key) else call('EXPIRE', key, ttl) end
  end
end

local function expiry_score(ttl) return ttl < 0 and '+inf' or math.floor(now / 1000000) + ttl end

local function seconds(us) return string.format('%.6f', us / 1000000) end

local function delete_job(id, f)
  call('DEL', job_key(id), job_key(id) .. ':dependents', P .. ':job::' .. id .. ':dependencies', P .. ':results:' .. id,
    P .. ':executions:' .. id)
  for _, registry in ipairs({ 'finished', 'failed', 'canceled', 'scheduled', 'deferred' }) do
    call('ZREM', P .. ':' .. registry .. ':' .. f.origin, id)
  end
  for _, state in ipairs({ 'pending', 'scheduled', 'running', 'completed', 'failed', 'cancelled' }) do
    call('ZREM', state_key(state), id)
  end
  call('ZREM', X .. 'user:' .. f.x_user, id)
end

-- `kind`: 1 successful, 2 failed. `value`: base64, '' = none.
local function add_result(id, kind, worker, execution, started, value)
  local stream = P .. ':results:' .. id
  if value == '' then
    call('XADD', stream, 'MAXLEN', '~', 10, '*', 'type', kind, 'worker_name', worker, 'execution_id', execution,
      'execution_started_at', started, 'execution_ended_at', seconds(now))
  else
    call('XADD', stream, 'MAXLEN', '~', 10, '*', 'type', kind, 'worker_name', worker,
      kind == 1 and 'return_value' or 'exc_string', value, 'execution_id', execution,
      'execution_started_at', started, 'execution_ended_at', seconds(now))
  end
end

-- A job that failed for good. `f`: origin, x_user, x_created, x_type, failure_ttl, x_progress.
local function fail(id, f, worker, execution, started, error, trace, extra)
  local ttl = tonumber(f.failure_ttl or 31536000)
  local at = iso(now)
  call('HSET', job_key(id), 'status', 'failed', 'x_status', 'failed', 'ended_at', at, 'x_error', error,
    'x_seq', seq(), 'x_status_seq', seq(), unpack(extra))
  add_result(id, 2, worker, execution, started, trace)
  call('ZADD', P .. ':failed:' .. f.origin, expiry_score(ttl), id)
  expire(id, ttl)
  move_state(id, 'running', 'failed', f.x_created)
  changed(id, 'failed', seq(), tonumber(f.x_progress or 0), '', f.x_user, f.x_type or '')
end
