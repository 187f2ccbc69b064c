-- A job that ran goes back to wait: after an error, at a worker's shutdown, or because its worker was lost.
-- Needs: slots, attempts.
-- Exports: requeue
-- `f`: the whole record, counters as they shall be. `delay`: microseconds of back-off; 0 = its old place in the user's line.
-- `outcome`, `error`: of the attempt that is over.
function requeue(id, f, delay, outcome, error)
  note_attempt(id, f, outcome, error)
  if outcome == 'interrupted' then f.attempt = math.max(0, f.attempt - 1) end
  f.ran = int(tonumber(f.ran) + math.max(0, now - tonumber(f.fence)))
  local keeps_slot = f.limiter and delay == 0 and outcome == 'failed' and call('HEXISTS', job_key(id), 'x_digest') == 0
  local waits = f.limiter and not keeps_slot
  local status = delay > 0 and 'scheduled' or (waits and 'rate_limited' or 'queued')
  call('HSET', job_key(id), 'status', status, 'x_mark', mark(status), 'x_run', pack_run(f), 'x_progress', '0',
    'x_step', '', 'x_done', '0', 'worker_name', '')
  call('HDEL', job_key(id), 'x_records')
  move_state(id, 'running', 'pending', f.created)
  if delay > 0 then
    call('HSET', job_key(id), 'x_retry', '1')
    -- By which RQ's scheduler knows a retry.
    if call('HGET', job_key(id), 'enqueue_at_front_on_retry') == '1' then call('HSET', job_key(id), 'ended_at', iso(now)) end
    call('ZADD', P .. ':scheduled:' .. f.queue, (now + delay) / 1000000, id)
  elseif waits then
    local score = wait_score(f.priority, tonumber(string.match(call('HGET', job_key(id), 'x_order') or '', '^%d+$') or f.created))
    wait(f.limiter, f.type, id, score)
    note_limiter(f.limiter)
    note_entered(f.limiter, score)
  else
    if keeps_slot then keep_admitted(f.limiter, id) end
    local is_first = outcome ~= 'failed' or call('HGET', job_key(id), 'enqueue_at_front_on_retry') == '1'
    call(is_first and 'LPUSH' or 'RPUSH', queue_key(f.queue), id)
  end
  changed(id, 'pending', 0, f.user, f.type)
end
