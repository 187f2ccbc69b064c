-- What others wrote into a record without a word: index and watchers follow it, or our own last word stands. Of what we run
-- ourselves our own workers tell.
-- Needs: slots, ends, attempts, execution_records, differs, fraction. `give_back` follows.
-- Exports: follow accept
local REGISTRY = { finished = 'finished', failed = 'failed', canceled = 'canceled' }

-- A tool that takes an ended job back takes it out of its registry; a stock worker that has not heard of a cancel and a
-- producer that saves an old copy do not. One that has been enqueued again under its id stands in the list.
local function our_word_stands(id, f)
  local registry = REGISTRY[f.last]
  if not registry or not call('ZSCORE', P .. ':' .. registry .. ':' .. f.queue, id) then return false end
  if f.last == 'canceled' then return true end
  return not ENDED[f.state] and not call('LPOS', queue_key(f.queue), id)
end

local function leave_list(id, f)
  call('LREM', queue_key(f.queue), 0, id)
  for _, registry in ipairs({ 'scheduled', 'deferred' }) do call('ZREM', P .. ':' .. registry .. ':' .. f.queue, id) end
end

-- An old copy does not know when it ran, nor who ran it.
local function tell_end(id, f)
  if (f.ended_at or '') ~= '' then return end
  local last = f.last ~= 'canceled' and call('XREVRANGE', P .. ':results:' .. id, '+', '-', 'COUNT', 1)[1]
  local told = {}
  for i = 1, last and #last[2] or 0, 2 do told[last[2][i]] = last[2][i + 1] end
  local started, ended = tonumber(told.execution_started_at), tonumber(told.execution_ended_at)
  if started then call('HSET', job_key(id), 'started_at', iso(started * 1000000), 'worker_name', told.worker_name or '') end
  call('HSET', job_key(id), 'ended_at', iso(ended and ended * 1000000 or now))
end

local function restore(id, f)
  leave_list(id, f)
  for _, registry in pairs(REGISTRY) do
    if registry ~= REGISTRY[f.last] then call('ZREM', P .. ':' .. registry .. ':' .. f.queue, id) end
  end
  call('HSET', job_key(id), 'status', f.last)
  tell_end(id, f)
  if f.limiter then
    call('ZREM', waiting_key(f.limiter), id)
    remember(f.limiter, id, f.type)
  end
  if f.last == 'canceled' and call('TTL', job_key(id)) < 0 then
    call('EXPIRE', job_key(id), math.max(1, math.min(1e9, tonumber(f.failure_ttl) or 1)))
  end
  call('HSET', job_key(id), 'x_mark', mark(f.last))
  local state = STATE[f.last]
  changed(id, state, state == 'completed' and 1 or fraction(f.x_progress), f.user, f.type)
end

-- A producer has saved an old copy over a job that we run.
local function restore_running(id, f)
  leave_list(id, f)
  call('HSET', job_key(id), 'status', 'started', 'x_mark', mark('started'), 'started_at', iso(tonumber(f.fence)))
  -- Watchers may have read the old copy.
  changed(id, 'running', fraction(f.x_progress), f.user, f.type)
end

-- It had ended and waits again: as after a restart of our own.
local function begin_anew(id, f)
  note_attempt(id, f, STATE[f.last], f.x_error)
  f.exec, f.attempt, f.failures, f.losses, f.ran, f.restarts = nil, 0, 0, 0, '0', f.restarts + 1
  call('HSET', job_key(id), 'x_run', pack_run(f), 'x_progress', '0', 'x_step', '', 'x_done', '0', 'worker_name', '')
  call('HDEL', job_key(id), 'x_error', 'x_reason', 'x_records')
end

-- `f`: with x_progress, x_error. Its status is right, whoever wrote it.
function accept(id, f)
  for _, state in ipairs(STATES) do call('ZREM', state_key(state), id) end
  call('ZADD', state_key(f.state), f.created, id)
  call('HSET', job_key(id), 'x_mark', mark(f.status))
  if not ENDED[f.state] then
    call('PERSIST', job_key(id))
    for _, registry in pairs(REGISTRY) do call('ZREM', P .. ':' .. registry .. ':' .. f.queue, id) end
    if ENDED[STATE[f.last]] then begin_anew(id, f) end
  end
  changed(id, f.state, f.state == 'completed' and 1 or fraction(f.x_progress), f.user, f.type)
  if ENDED[f.state] then note_end(id) end
end

function follow(id)
  local f = job(id, 'x_progress', 'x_error', 'ended_at')
  local token = id .. ':' .. (f.exec or '')
  if f.damaged or not f.created or call('ZSCORE', STOPPING, token) then return end
  if call('ZSCORE', LEASES, token) then
    -- Of what RQ's tools have given up the rescue will hear.
    if f.last == 'started' and not ENDED[f.state] and is_in_wip(token, f.queue) then restore_running(id, f) end
    return
  end
  if our_word_stands(id, f) then restore(id, f) else accept(id, f) end
end
