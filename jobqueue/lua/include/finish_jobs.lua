-- Records what became of executions and frees their slots. Items: kind job_id execution_id value error permanent.
-- An execution that lost its lease changes nothing: `stale`, or its old verdict when it had finished before.
-- Needs: slots, attempts, requeue, outcome, call_off, times.
-- Exports: finish_jobs fail purge_token purge_ownerless settle_foreign_cancel forget_records
local OUTCOME_SIZE = 6
local GONE_SECONDS = 60
local finished = { ids = {}, completed = {}, registry = {}, gone = {}, good = 0, bad = 0, busy = 0 }

function forget_records(worker, id, execution)
  call('DEL', P .. ':execution:' .. id .. ':' .. execution)
  call('ZREM', P .. ':executions:' .. id, execution)
  if worker then call('SREM', P .. ':worker:' .. worker .. ':executions', id .. ':' .. execution) end
end

-- A record deleted by a stock tool while its job ran. One that has come under the same id since then is another job's and
-- is left alone.
local ownerless = { tokens = {}, ids = {} }

function purge_token(token, id)
  call('ZREM', LEASES, token)
  call('ZREM', STOPPING, token)
  ownerless.tokens[#ownerless.tokens + 1] = token
  if call('EXISTS', job_key(id)) == 1 then return end
  for _, state in ipairs({ 'running', 'cancelled' }) do call('ZREM', state_key(state), id) end
  ownerless.ids[#ownerless.ids + 1] = id
end

-- Nobody remembers whose they were, so users are asked, once a call; of very many the cleanup finds the right one.
local MOST_ASKED = 1000

function purge_ownerless()
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

local function listed(text)
  local ok, list = pcall(cjson.decode, text or '')
  return ok and type(list) == 'table' and list or {}
end

-- Seconds that anybody may have written, in microseconds; what is no time counts as none.
local function pause(value)
  local given = tonumber(value)
  return given and given > 0 and math.floor(math.min(given, FOREVER) * 1000000) or 0
end

local function whole_number(text) return tonumber(string.match(text or '', '^%-?%d+$') or '') end

-- Microseconds until the next attempt; nil when there is none. RQ's `retries_left` counts down beside our own counter, and its
-- intervals are those of stock producers; ours grow: `first` seconds, doubled each time up to `most`.
local function retry_delay(f)
  local left = whole_number(f.retries_left)
  if left and left <= 0 or not left and f.failures >= tonumber(f.max_attempts) then return nil end
  if left and f.retry_intervals and not f.x_backoff then
    local intervals = listed(f.retry_intervals)
    return pause(intervals[math.max(#intervals - left, 0) + 1])
  end
  local first, most = string.match(f.x_backoff or '', '^(%d[%d.e+-]*) (%d[%d.e+-]*)$')
  local spread = 0.75 + 0.5 * (now % 1000) / 1000
  return pause(math.min(tonumber(most) or 300, (tonumber(first) or 1) * 2 ^ math.min(f.failures - 1, 60)) * spread)
end

-- A job that failed for good. `f`: the whole record, counters as they shall be.
function fail(id, f, worker, execution, error, trace)
  local ttl = tonumber(f.failure_ttl)
  call('HSET', job_key(id), 'status', 'failed', 'x_mark', mark('failed'), 'x_run', pack_run(f), 'ended_at', iso(now),
    'x_error', error)
  add_result(id, 2, worker, execution, f.fence, trace)
  call('ZADD', P .. ':failed:' .. f.queue, expiry_score(ttl), id)
  expire(id, ttl)
  move_state(id, 'running', 'failed', f.created)
  changed(id, 'failed', tonumber(call('HGET', job_key(id), 'x_progress') or 0), f.user, f.type)
  note_end(id)
end

-- RQ's Repeat: a job of a stock producer that has succeeded runs again later, under its id.
local function repeats(id, execution, worker, value)
  local f = job(id, 'repeats_left', 'repeat_intervals')
  local left = whole_number(f.repeats_left) or 0
  if left <= 0 then return false end
  local intervals = listed(f.repeat_intervals)
  local delay = pause(intervals[1])
  add_result(id, 1, worker, execution, f.fence, value)
  note_attempt(id, f, 'completed')
  call('HSET', job_key(id), 'repeats_left', left - 1, 'worker_name', '', 'x_progress', '0', 'x_repeated', '1')
  -- The last one stays.
  if #intervals > 1 then
    table.remove(intervals, 1)
    local ok, rest = pcall(cjson.encode, intervals)
    if ok then call('HSET', job_key(id), 'repeat_intervals', rest) end
  end
  if delay > 0 then
    schedule(id, f, now + delay)
  else
    enter_line(id, f, now)
    move_state(id, 'running', 'pending', f.created)
    changed(id, 'pending', 0, f.user, f.type)
  end
  note_end(id)
  return true
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
  changed(id, 'completed', 1, user, job_type)
  note_end(id)
end

local function fail_or_retry(id, execution, worker, trace, error, permanent)
  local f = job(id, 'retries_left', 'retry_intervals', 'x_backoff')
  f.failures = f.failures + 1
  finished.bad = finished.bad + 1
  local delay = permanent ~= '1' and retry_delay(f)
  if not delay then return fail(id, f, worker, execution, error, trace) end
  call('HSET', job_key(id), 'x_error', error)
  local left = whole_number(f.retries_left)
  if left then call('HSET', job_key(id), 'retries_left', left - 1) end
  requeue(id, f, delay, 'failed', error)
end

-- Cancelled by a tool that knows nothing of leases: its word stands, our index follows.
function settle_foreign_cancel(id)
  local f = job(id)
  call('HSET', job_key(id), 'x_mark', mark(f.status))
  move_state(id, 'running', 'cancelled', f.created)
  changed(id, 'cancelled', tonumber(call('HGET', job_key(id), 'x_progress') or 0), f.user, f.type)
  note_end(id)
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
  free_slot(id, token, user, limiter_of(user, limiter), queue, job_type)
  local ran = now - fence
  finished.busy = finished.busy + math.max(0, ran)
  if values[4] then forget_records(worker, id, execution) end
  if values[1] == 'canceled' or values[1] == 'stopped' then
    settle_foreign_cancel(id)
    return 'cancelled'
  elseif kind == 'completed' then
    finished.good = finished.good + 1
    note_time(job_type, ran)
    if string.byte(values[2], -1) == REPEATS and repeats(id, execution, worker, ARGV[i + 3]) then return 'ok' end
    complete(id, execution, worker, ARGV[i + 3], user, queue, job_type, created, fence, tonumber(ttl))
  elseif kind == 'failed' then
    fail_or_retry(id, execution, worker, ARGV[i + 3], ARGV[i + 4], ARGV[i + 5])
  else
    requeue(id, job(id), 0, 'interrupted')
  end
  return 'ok'
end

local function write_registries()
  many('ZREM', state_key('running'), finished.ids)
  many('ZADD', state_key('completed'), finished.completed)
  for queue, entries in pairs(finished.registry) do many('ZADD', P .. ':finished:' .. queue, entries) end
  for id, owner in pairs(finished.gone) do
    -- Somebody waits for it: until he has been looked at there is something to look at.
    if call('EXISTS', dependents_key(id)) == 1 then expire(id, GONE_SECONDS) else delete_job(id, owner[1], owner[2]) end
  end
end

local function count_for_worker(worker)
  local key = P .. ':worker:' .. worker
  if finished.good + finished.bad == 0 or call('EXISTS', key) == 0 then return end
  if finished.good > 0 then call('HINCRBY', key, 'successful_job_count', finished.good) end
  if finished.bad > 0 then call('HINCRBY', key, 'failed_job_count', finished.bad) end
  call('HINCRBYFLOAT', key, 'total_working_time', seconds(finished.busy))
end

function finish_jobs(worker, first)
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
  write_times()
  release_dependents(MOST_RELEASED)
  give_back()
  count_for_worker(worker)
  return verdicts
end
