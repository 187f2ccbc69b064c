-- Attempts that did not end well, and jobs that run again although they did.
-- Needs: outcome, enter_line, attempts, requeue, ends, fraction, whole.
-- Exports: fail settle_bad repeats
local function listed(text)
  local ok, list = pcall(cjson.decode, text or '')
  return ok and type(list) == 'table' and list or {}
end

-- Seconds that anybody may have written, in microseconds; what is no time counts as none.
local function pause(value)
  local given = tonumber(value)
  return given and given > 0 and math.floor(math.min(given, FOREVER) * 1000000) or 0
end

local function whole_number(text) return tonumber(whole(text, '')) end

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

-- `status`: RQ's word; `kind`: that of the result.
local function end_badly(id, f, status, kind, worker, execution, error, value)
  local ttl, state = tonumber(f.failure_ttl), STATE[status]
  call('HSET', job_key(id), 'status', status, 'x_mark', mark(status), 'x_run', pack_run(f), 'ended_at', iso(now),
    'x_error', error)
  add_result(id, kind, worker, execution, f.fence, value)
  call('ZADD', P .. ':failed:' .. f.queue, expiry_score(ttl), id)
  expire(id, ttl)
  move_state(id, 'running', state, f.created)
  changed(id, state, fraction(call('HGET', job_key(id), 'x_progress')), f.user, f.type)
  note_end(id)
end

-- A job that failed for good. `f`: the whole record, counters as they shall be.
function fail(id, f, worker, execution, error, trace)
  end_badly(id, f, 'failed', 2, worker, execution, error, trace)
end

-- By a command of a stock tool.
local function halt(id, execution, worker, trace, error)
  local f = job(id)
  call('HSET', job_key(id), 'x_reason', error)
  end_badly(id, f, 'stopped', 2, worker, execution, error, trace)
end

-- It returned RQ's Retry. `told`: JSON of `most` retries, `intervals` in seconds, `front`.
local function retry_as_told(id, execution, worker, value, told)
  local f, wish = job(id, 'number_of_retries'), cjson.decode(told)
  local before = whole_number(f.number_of_retries) or 0
  if before >= wish.most then
    return end_badly(id, f, 'failed', 5, worker, execution, 'MaxRetriesExceeded: it asked for another retry after '
      .. before, value)
  end
  add_result(id, 4, worker, execution, f.fence, value)
  call('HSET', job_key(id), 'number_of_retries', before + 1)
  if wish.front then call('HSET', job_key(id), 'enqueue_at_front_on_retry', '1') end
  requeue(id, f, pause(wish.intervals[math.min(before + 1, #wish.intervals)]), 'failed', 'it asked for another attempt')
end

-- RQ's Repeat: a job of a stock producer that has succeeded runs again later, under its id.
function repeats(id, execution, worker, value)
  local f = job(id, 'repeats_left', 'repeat_intervals')
  local left = whole_number(f.repeats_left) or 0
  if left <= 0 or f.damaged then return false end
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
    if f.limiter then keep_admitted(f.limiter, id) end
    call('HSET', job_key(id), 'status', 'queued', 'x_mark', mark('queued'), 'enqueued_at', iso(now))
    push(f.queue, id)
    move_state(id, 'running', 'pending', f.created)
    changed(id, 'pending', 0, f.user, f.type)
  end
  note_end(id)
  return true
end

local function fail_or_retry(id, execution, worker, trace, error, permanent)
  local f = job(id, 'retries_left', 'retry_intervals', 'x_backoff')
  f.failures = f.failures + 1
  local delay = permanent ~= '1' and retry_delay(f)
  if not delay then return fail(id, f, worker, execution, error, trace) end
  call('HSET', job_key(id), 'x_error', error)
  local left = whole_number(f.retries_left)
  if left then call('HSET', job_key(id), 'retries_left', left - 1) end
  requeue(id, f, delay, 'failed', error)
end

local SETTLE = { failed = fail_or_retry, halted = halt, retried = retry_as_told }
function settle_bad(kind, ...) return SETTLE[kind](...) end
