-- A job that ran goes back to wait: after an error, at a worker's shutdown, or because its worker was lost.
-- Needs: admission, record, attempts.
-- Exports: requeue
-- `f`: the whole record, counters as they shall be. `delay`: microseconds of back-off; 0 = its old place in the user's line.
-- `outcome`, `error`: of the attempt that is over.
function requeue(id, f, delay, outcome, error)
  note_attempt(id, f, outcome, error)
  if outcome == 'interrupted' then f.attempt = math.max(0, f.attempt - 1) end
  f.ran = int(tonumber(f.ran) + math.max(0, now - tonumber(f.fence)))
  local order = tonumber(string.match(call('HGET', job_key(id), 'x_order') or '', '^%d+$') or f.created)
  local status = delay > 0 and 'scheduled' or (f.limiter and 'rate_limited' or 'queued')
  call('HSET', job_key(id), 'status', status, 'x_mark', mark(status), 'x_run', pack_run(f), 'x_progress', '0',
    'x_step', '', 'x_done', '0', 'worker_name', '')
  call('HDEL', job_key(id), 'x_records')
  move_state(id, 'running', 'pending', f.created)
  if delay > 0 then
    call('HSET', job_key(id), 'x_retry', '1')
    call('ZADD', P .. ':scheduled:' .. f.queue, (now + delay) / 1000000, id)
  elseif f.limiter then
    local score = wait_score(f.priority, order)
    wait(f.limiter, f.type, id, score)
    note_limiter(f.limiter)
    note_entered(f.limiter, score)
  else
    local is_first = outcome ~= 'failed' or call('HGET', job_key(id), 'enqueue_at_front_on_retry') == '1'
    call(is_first and 'LPUSH' or 'RPUSH', queue_key(f.queue), id)
  end
  changed(id, 'pending', 0, f.user, f.type)
end
