-- Records what became of executions and frees their slots. Items: kind job_id execution_id value error permanent.
-- An execution that lost its lease changes nothing: `stale`, or its old verdict when it had finished before.
-- Needs: base, events, limits, admission, slots, record, requeue, outcome.
local OUTCOME_SIZE = 6
local finished = { ids = {}, completed = {}, registry = {}, gone = {}, good = 0, bad = 0, busy = 0 }

local function forget_records(worker, id, execution)
  call('DEL', P .. ':execution:' .. id .. ':' .. execution)
  call('ZREM', P .. ':executions:' .. id, execution)
  if worker then call('SREM', P .. ':worker:' .. worker .. ':executions', id .. ':' .. execution) end
end

-- A record deleted by a stock tool while its job ran. One that has come under the same id since then is another job's and
-- is left alone.
local ownerless = { tokens = {}, ids = {} }

local function purge_token(token, id)
  call('ZREM', LEASES, token)
  call('ZREM', STOPPING, token)
  ownerless.tokens[#ownerless.tokens + 1] = token
  if call('EXISTS', job_key(id)) == 1 then return end
  for _, state in ipairs({ 'running', 'cancelled' }) do call('ZREM', state_key(state), id) end
  ownerless.ids[#ownerless.ids + 1] = id
end

-- Nobody remembers whose they were, so users are asked, once a call; of very many the cleanup finds the right one.
local MOST_ASKED = 1000

local function purge_ownerless()
  local tokens, ids = ownerless.tokens, ownerless.ids
  if #tokens == 0 then return end
  for _, key in ipairs(call('SMEMBERS', P .. ':queues')) do many('ZREM', P .. ':wip:' .. string.sub(key, #P + 8), tokens) end
  if many('SREM', X .. 'live:default_user', tokens) > 0 then freed.users.default_user = true end
  for _, limiter in ipairs(call('SRANDMEMBER', P .. ':rl-keys', MOST_ASKED)) do
    local user = string.sub(limiter, 1, 5) == 'user:' and string.sub(limiter, 6) or limiter
    if many('SREM', X .. 'live:' .. user, tokens) > 0 then freed.users[user] = true end
    many('ZREM', X .. 'user:' .. user, ids)
    if many('ZREM', allowed_key(limiter), ids) > 0 then freed.allowed[limiter] = freed.allowed[limiter] or {} end
  end
end

local function backoff(failures)
  local spread = 0.75 + 0.5 * (now % 1000) / 1000
  return math.floor(math.min(300, 2 ^ (failures - 1)) * spread * 1000000)
end

local function complete(id, execution, worker, value, user, queue, job_type, created, fence, ttl)
  call('HSET', job_key(id), 'status', 'finished', 'x_mark', mark('finished'), 'ended_at', finished.at)
  add_result(id, 1, worker, execution, fence, value)
  if ttl == 0 then finished.gone[id] = { user, queue } else expire(id, ttl) end
  append(finished.registry, queue, expiry_score(ttl), id)
  local list = finished.completed
  list[#list + 1] = created
  list[#list + 1] = id
  finished.ids[#finished.ids + 1] = id
  finished.good = finished.good + 1
  changed(id, 'completed', 1, user, job_type)
end

local function fail_or_retry(id, execution, worker, trace, error, permanent)
  local f = job(id)
  f.failures = f.failures + 1
  finished.bad = finished.bad + 1
  if permanent ~= '1' and f.failures < tonumber(f.max_attempts) then
    call('HSET', job_key(id), 'x_error', error)
    requeue(id, f, backoff(f.failures))
  else
    fail(id, f, worker, execution, error, trace)
  end
end

local function release(id)
  local f = job(id)
  f.attempt = math.max(0, f.attempt - 1)
  requeue(id, f, 0)
end

-- Cancelled by a tool that knows nothing of leases: its word stands, our index follows.
local function settle_foreign_cancel(id)
  local f = job(id)
  call('HSET', job_key(id), 'x_mark', mark(f.status))
  move_state(id, 'running', 'cancelled', f.created)
  changed(id, 'cancelled', tonumber(call('HGET', job_key(id), 'x_progress') or 0), f.user, f.type)
end

-- The execution has no lease: it was cancelled and stops now, or it has finished before, or it has lost the job.
local function settle_unleased(id, token, execution)
  local f = job(id)
  if call('ZSCORE', STOPPING, token) then
    if not f then
      purge_token(token, id)
      return 'stale'
    end
    free_stopping(id, token, f)
    return 'cancelled'
  end
  if not f or f.exec ~= execution or f.last == 'started' then return 'stale' end
  return f.last == 'canceled' and 'cancelled' or 'ok'
end

local function settle(i, token, leased, worker)
  local kind, id, execution = ARGV[i], ARGV[i + 1], ARGV[i + 2]
  if not leased then return settle_unleased(id, token, execution) end
  local values = read_fields(id, 'status', 'x_core', 'x_run', 'x_records')
  -- A stock tool deleted the running job, and the id may belong to another job by now.
  if not values[2] or not values[3] or string.match(values[3], '^%S+') ~= execution then
    purge_token(token, id)
    return 'stale'
  end
  local user, limiter, queue, job_type, created, ttl = string.match(values[2], CORE_HEAD)
  local fence = string.match(values[3], '^%S+ %d+ (%d+)')
  free_slot(id, token, user, limiter_of(user, limiter), queue)
  local ran = now - fence
  finished.busy = finished.busy + math.max(0, ran)
  if values[4] then forget_records(worker, id, execution) end
  if values[1] == 'canceled' or values[1] == 'stopped' then
    settle_foreign_cancel(id)
    return 'cancelled'
  elseif kind == 'completed' then
    complete(id, execution, worker, ARGV[i + 3], user, queue, job_type, created, fence, tonumber(ttl))
  elseif kind == 'failed' then
    fail_or_retry(id, execution, worker, ARGV[i + 3], ARGV[i + 4], ARGV[i + 5])
  else
    release(id)
  end
  return 'ok'
end

local function write_registries()
  many('ZREM', state_key('running'), finished.ids)
  many('ZADD', state_key('completed'), finished.completed)
  for queue, entries in pairs(finished.registry) do many('ZADD', P .. ':finished:' .. queue, entries) end
  for id, owner in pairs(finished.gone) do delete_job(id, owner[1], owner[2]) end
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
  purge_ownerless()
  give_back()
  count_for_worker(worker)
  return verdicts
end
