-- A job that ran goes back to wait: after an error, at a worker's shutdown, or because its worker was lost.
-- Needs: base, limits, admission, slots, record, events.
local REQUEUE_FIELDS = { 'x_order', 'x_created', 'x_priority', 'x_ran', 'x_fence', 'x_type', 'enqueue_at_front' }

local function ran_until_now(g) return int(tonumber(g.x_ran or 0) + math.max(0, now - tonumber(g.x_fence or now))) end

-- `f`: origin, x_user, rate_limit_key. `delay`: microseconds of back-off; 0 = at its old place in the user's line.
local function requeue(id, f, delay, extra)
  local g = fields(id, REQUEUE_FIELDS)
  local status = delay > 0 and 'scheduled' or (f.rate_limit_key and 'rate_limited' or 'queued')
  call('HSET', job_key(id), 'status', status, 'x_status', status, 'x_seq', seq(), 'x_status_seq', seq(),
    'x_ran', ran_until_now(g), 'x_progress', '0', 'x_step', '', 'x_done', '0', 'worker_name', '', unpack(extra))
  move_state(id, 'running', 'pending', g.x_created)
  if delay > 0 then
    call('HSET', job_key(id), 'x_retry', '1')
    call('ZADD', P .. ':scheduled:' .. f.origin, (now + delay) / 1000000, id)
  elseif f.rate_limit_key then
    call('ZADD', waiting_key(f.rate_limit_key), wait_score(g.x_priority, g.x_order or g.x_created), id)
    call('SADD', P .. ':rl-keys', f.rate_limit_key)
  else
    call('LPUSH', queue_key(f.origin), id)
  end
  changed(id, 'pending', seq(), 0, '', f.x_user, g.x_type or '')
end
