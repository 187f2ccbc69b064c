-- Records what became of executions and frees their slots. Items: kind job_id execution_id value error permanent.
-- An execution that lost its lease changes nothing: `stale`, or its old verdict when it had finished before.
-- Needs: base, events, limits, admission, slots, record, requeue, outcome.
local FINISH_FIELDS = { 'status', 'x_status', 'x_exec', 'x_user', 'rate_limit_key', 'origin', 'x_created', 'x_type',
  'result_ttl', 'failure_ttl', 'x_records', 'x_progress', 'x_fence', 'x_failures', 'x_max_attempts', 'x_attempt' }
local OUTCOME_SIZE = 6

local finished = { now_completed = {}, completed = {}, registry = {}, gone = {}, good = 0, bad = 0, busy = 0 }

-- A record deleted by a stock tool while its job ran: nobody remembers whose it was, so every user is asked.
local function purge_token(token, id)
  call('ZREM', LEASES, token)
  call('ZREM', STOPPING, token)
  for _, key in ipairs(call('SMEMBERS', P .. ':queues')) do call('ZREM', P .. ':wip:' .. string.sub(key, #P + 8), token) end
  for _, state in ipairs({ 'running', 'cancelled' }) do call('ZREM', state_key(state), id) end
  call('SREM', X .. 'live:default_user', token)
  for _, limiter in ipairs(call('SMEMBERS', P .. ':rl-keys')) do
    local user = string.sub(limiter, 1, 5) == 'user:' and string.sub(limiter, 6) or limiter
    call('SREM', X .. 'live:' .. user, token)
    call('ZREM', X .. 'user:' .. user, id)
    freed.users[user] = true
    remember(limiter, id)
  end
end

local function backoff(failures)
  local spread = 0.75 + 0.5 * (now % 1000) / 1000
  return math.floor(math.min(300, 2 ^ (failures - 1)) * spread * 1000000)
end

local function complete(id, execution, worker, value, f)
  call('HSET', job_key(id), 'status', 'finished', 'x_status', 'finished', 'ended_at', finished.at, 'x_seq', seq(),
    'x_status_seq', seq(), 'x_progress', '1')
  add_result(id, 1, worker, execution, seconds(f.x_fence), value)
  local ttl = tonumber(f.result_ttl or 500)
  if ttl == 0 then finished.gone[id] = f else expire(id, ttl) end
  append(finished.registry, f.origin, expiry_score(ttl), id)
  local list = finished.completed
  list[#list + 1] = f.x_created
  list[#list + 1] = id
  finished.now_completed[#finished.now_completed + 1] = id
  finished.good = finished.good + 1
  changed(id, 'completed', seq(), 1, '', f.x_user, f.x_type or '')
end

local function fail_or_retry(id, execution, worker, trace, error, permanent, f)
  finished.bad = finished.bad + 1
  local failures = tonumber(f.x_failures or 0) + 1
  if permanent ~= '1' and failures < tonumber(f.x_max_attempts or 1) then
    requeue(id, f, backoff(failures), { 'x_failures', failures, 'x_error', error })
  else
    fail(id, f, worker, execution, seconds(f.x_fence), error, trace, { 'x_failures', failures })
  end
end

-- Cancelled by a tool that knows nothing of leases: its word stands, our index follows.
local function settle_foreign_cancel(id, f)
  call('HSET', job_key(id), 'x_status', f.status, 'x_seq', seq(), 'x_status_seq', seq())
  move_state(id, 'running', 'cancelled', f.x_created)
  changed(id, 'cancelled', seq(), tonumber(f.x_progress or 0), '', f.x_user, f.x_type or '')
end

local function end_execution(kind, id, execution, worker, i, f)
  if f.status == 'canceled' or f.status == 'stopped' then
    settle_foreign_cancel(id, f)
    return 'cancelled'
  elseif kind == 'completed' then
    complete(id, execution, worker, ARGV[i + 3], f)
  elseif kind == 'failed' then
    fail_or_retry(id, execution, worker, ARGV[i + 3], ARGV[i + 4], ARGV[i + 5], f)
  else
    requeue(id, f, 0, { 'x_attempt', tonumber(f.x_attempt or 1) - 1 })
  end
  return 'ok'
end

local function settle(i, token, leased, worker)
  local kind, id, execution = ARGV[i], ARGV[i + 1], ARGV[i + 2]
  local f = fields(id, FINISH_FIELDS)
  local stopping = not leased and call('ZSCORE', STOPPING, token)
  if not (leased or stopping) then
    if f.x_exec ~= execution or f.x_status == 'started' then return 'stale' end
    return f.x_status == 'canceled' and 'cancelled' or 'ok'
  elseif not f.x_user then
    purge_token(token, id)
    return 'stale'
  end
  free_slot(id, token, f, stopping)
  finished.busy = finished.busy + math.max(0, now - tonumber(f.x_fence or now))
  if f.x_records then forget_records(worker, id, execution) end
  if stopping then
    call('HDEL', job_key(id), 'x_stopping')
    return 'cancelled'
  end
  return end_execution(kind, id, execution, worker, i, f)
end

local function write_registries()
  many('ZREM', state_key('running'), finished.now_completed)
  many('ZADD', state_key('completed'), finished.completed)
  for queue, entries in pairs(finished.registry) do many('ZADD', P .. ':finished:' .. queue, entries) end
  for id, f in pairs(finished.gone) do delete_job(id, f) end
end

local function count_for_worker(worker)
  local key = P .. ':worker:' .. worker
  if finished.good + finished.bad == 0 or call('EXISTS', key) == 0 then return end
  if finished.good > 0 then call('HINCRBY', key, 'successful_job_count', finished.good) end
  if finished.bad > 0 then call('HINCRBY', key, 'failed_job_count', finished.bad) end
  call('HINCRBYFLOAT', key, 'total_working_time', seconds(finished.busy))
end

local function finish_jobs(worker, first)
  local tokens = {}
  for i = first, #ARGV, OUTCOME_SIZE do tokens[#tokens + 1] = ARGV[i + 1] .. ':' .. ARGV[i + 2] end
  if #tokens == 0 then return tokens end
  local leased = call('ZMSCORE', LEASES, unpack(tokens))
  local verdicts = {}
  finished.at = iso(now)
  for n, token in ipairs(tokens) do
    verdicts[n] = settle(first + (n - 1) * OUTCOME_SIZE, token, leased[n], worker)
  end
  write_registries()
  give_back()
  count_for_worker(worker)
  return verdicts
end
