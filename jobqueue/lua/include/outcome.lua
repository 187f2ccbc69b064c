-- The two ends of a run as RQ stores them: status, result stream, registry, expiry.
-- Needs: record.
-- Stock producers may ask for more seconds than Redis counts: that is for ever.
local FOREVER = 1e9

local function is_kept(ttl) return ttl < 0 or ttl > FOREVER end

local function expire(id, ttl)
  if is_kept(ttl) then
    call('PERSIST', job_key(id))
    call('PERSIST', P .. ':results:' .. id)
  else
    call('EXPIRE', job_key(id), ttl)
    call('EXPIRE', P .. ':results:' .. id, ttl)
  end
end

local function expiry_score(ttl) return is_kept(ttl) and '+inf' or clock[1] + ttl end

local function seconds(us) return string.format('%.6f', us / 1000000) end

local function delete_job(id, user, queue)
  local group = call('HGET', job_key(id), 'group_id')
  if group and group ~= '' then call('SREM', P .. ':group:' .. group, id) end
  call('DEL', job_key(id), job_key(id) .. ':dependents', P .. ':job::' .. id .. ':dependencies', P .. ':results:' .. id,
    P .. ':executions:' .. id)
  for _, registry in ipairs({ 'finished', 'failed', 'canceled', 'scheduled', 'deferred' }) do
    call('ZREM', P .. ':' .. registry .. ':' .. queue, id)
  end
  for _, state in ipairs(STATES) do
    call('ZREM', state_key(state), id)
  end
  call('ZREM', X .. 'user:' .. user, id)
end

-- `run`: how to call Redis.
local function append_result(run, stream, kind, worker, execution, fence, value)
  if value == '' then
    return run('XADD', stream, 'MAXLEN', '~', 10, '*', 'type', kind, 'worker_name', worker, 'execution_id', execution,
      'execution_started_at', seconds(fence), 'execution_ended_at', seconds(now))
  end
  return run('XADD', stream, 'MAXLEN', '~', 10, '*', 'type', kind, 'worker_name', worker,
    kind == 2 and 'exc_string' or 'return_value', value, 'execution_id', execution,
    'execution_started_at', seconds(fence), 'execution_ended_at', seconds(now))
end

-- `kind`: 1 successful, 2 failed, 4 retried, 5 retried too often. `value`: base64, '' = none.
local function add_result(id, kind, worker, execution, fence, value)
  local stream = P .. ':results:' .. id
  if type(append_result(redis.pcall, stream, kind, worker, execution, fence, value)) == 'string' then return end
  -- What somebody else put under this name must not keep the outcome from being recorded.
  call('DEL', stream)
  append_result(call, stream, kind, worker, execution, fence, value)
end
