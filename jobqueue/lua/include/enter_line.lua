-- A job that exists already takes its place in its user's line, or among those that are not due yet.
-- Needs: admission, record.
-- Exports: enter_line schedule
-- `order`: microseconds. `admit_entered` goes on.
function enter_line(id, f, order)
  if not f.limiter then
    call('HSET', job_key(id), 'status', 'queued', 'x_mark', mark('queued', f), 'enqueued_at', iso(now))
    -- As a stock producer may wish it for a job that waits for others or for its time.
    if call('HGET', job_key(id), 'enqueue_at_front') == '1' then return call('LPUSH', queue_key(f.queue), id) end
    return push(f.queue, id)
  end
  local score = wait_score(f.priority, order)
  call('HSET', job_key(id), 'status', 'rate_limited', 'x_mark', mark('rate_limited', f), 'x_order', int(order))
  note_limiter(f.limiter)
  wait(f.limiter, f.type, id, score)
  note_entered(f.limiter, score)
end

function schedule(id, f, due)
  call('HSET', job_key(id), 'status', 'scheduled', 'x_mark', mark('scheduled'))
  call('ZADD', P .. ':scheduled:' .. f.queue, due / 1000000, id)
  move_state(id, f.state, 'scheduled', f.created)
  changed(id, 'scheduled', 0, f.user, f.type)
end
