-- A job that a stock producer enqueued joins our index: an owner, a place in time, our own last word on its status.
-- Needs: base, events, record.
local function user_of(limiter)
  if not limiter then return 'default_user' end
  return string.sub(limiter, 1, 5) == 'user:' and string.sub(limiter, 6) or limiter
end

-- A time that no other job has, so that it can order and page.
local function unique_times(count)
  local last = tonumber(call('HGET', META, 'clock') or 0)
  local first = math.max(now, last + 1)
  call('HSET', META, 'clock', int(first + count - 1))
  return first
end

-- `f`: status, rate_limit_key, origin, x_retry; gets x_user, x_created and, where missing, origin.
local function adopt(id, f, queue)
  f.x_user = user_of(f.rate_limit_key)
  f.x_created = int(unique_times(1))
  local state = state_of(f)
  call('HSET', job_key(id), 'x_v', '1', 'x_user', f.x_user, 'x_created', f.x_created, 'x_status', f.status,
    'x_seq', seq(), 'x_status_seq', seq())
  if not f.origin then
    f.origin = queue
    call('HSET', job_key(id), 'origin', queue)
  end
  call('ZADD', state_key(state), f.x_created, id)
  call('ZADD', X .. 'user:' .. f.x_user, f.x_created, id)
  changed(id, state, seq(), 0, '', f.x_user, '')
end
