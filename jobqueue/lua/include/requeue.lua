-- A job that ran goes back to wait: after an error, at a worker's shutdown, or because its worker was lost.
-- Needs: base, events, limits, admission, record.
-- `f`: the whole record, counters as they shall be. `delay`: microseconds of back-off; 0 = its old place in the user's line.
local function requeue(id, f, delay)
  local status = delay > 0 and 'scheduled' or (f.limiter and 'rate_limited' or 'queued')
  f.ran = int(tonumber(f.ran) + math.max(0, now - tonumber(f.fence)))
  call('HSET', job_key(id), 'status', status, 'x_mark', mark(status), 'x_run', pack_run(f), 'x_progress', '0',
    'x_step', '', 'x_done', '0', 'worker_name', '')
  call('HDEL', job_key(id), 'x_records')
  move_state(id, 'running', 'pending', f.created)
  if delay > 0 then
    call('HSET', job_key(id), 'x_retry', '1')
    call('ZADD', P .. ':scheduled:' .. f.queue, (now + delay) / 1000000, id)
  elseif f.limiter then
    call('ZADD', waiting_key(f.limiter), wait_score(f.priority, tonumber(call('HGET', job_key(id), 'x_order') or f.created)), id)
    call('SADD', P .. ':rl-keys', f.limiter)
  else
    call('LPUSH', queue_key(f.queue), id)
  end
  changed(id, 'pending', 0, f.user, f.type)
end
