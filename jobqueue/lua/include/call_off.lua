-- A job that has not started ends as cancelled: a user's wish, its own deadline, or a job that it depends on.
-- Needs: slots, ends, fraction. `give_back` follows.
-- Exports: call_off leave_line end_cancelled NOT_IN_TIME
NOT_IN_TIME = 'expired: it was not started in time'

-- `f` as `job` gives it. `popped`: it has left its queue's list already.
function leave_line(id, f, popped)
  unmarked[id] = nil
  local found = call('ZREM', P .. ':scheduled:' .. f.queue, id) + call('ZREM', P .. ':deferred:' .. f.queue, id)
    + leave_parked(f.user, id)
  call('ZREM', DEADLINES, id)
  if f.limiter then
    found = found + call('ZREM', waiting_key(f.limiter), id)
    if type_limit(f.type) then found = found + call('ZREM', line_key(f.user, f.type), id) end
    remember(f.limiter, id, f.type)
  end
  -- Last, because it looks through the whole list; who stood elsewhere is not in it.
  if found == 0 and not popped then call('LREM', queue_key(f.queue), 0, id) end
end

-- `retention`: seconds that the record is kept; `reason`: in words, '' = a user's own wish.
function end_cancelled(id, f, retention, reason)
  call('HSET', job_key(id), 'status', 'canceled', 'x_mark', mark('canceled'), 'x_run', pack_run(f), 'ended_at', iso(now),
    'x_reason', reason)
  call('HDEL', job_key(id), 'x_retry')
  call('EXPIRE', job_key(id), retention)
  call('ZADD', P .. ':canceled:' .. f.queue, clock[1], id)
  move_state(id, f.state, 'cancelled', f.created)
  changed(id, 'cancelled', fraction(f.x_progress), f.user, f.type)
  note_end(id)
end

local LONGEST = 1e9
function call_off(id, f, reason, popped)
  -- Before anything is written: without these nobody can say where it stands.
  if not f.created or not f.attempt then error('the record of ' .. id .. ' is damaged') end
  local keep = string.match(call('HGET', job_key(id), 'x_keep') or '', '^%d+$') or f.failure_ttl
  leave_line(id, f, popped)
  end_cancelled(id, f, math.max(1, math.min(LONGEST, tonumber(keep))), reason)
end
