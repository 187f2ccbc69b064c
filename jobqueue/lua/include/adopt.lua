-- A job that a stock producer enqueued joins our index: an owner, a place in time, our own last word on its status.
-- Needs: limits, record, order.
-- Exports: adopt
local function whole(text, default)
  return text and string.match(text, '^%-?%d+$') or default
end

-- Answers the whole record.
function adopt(id, queue)
  local raw = call('HMGET', job_key(id), 'origin', 'rate_limit_key', 'timeout', 'result_ttl', 'failure_ttl', 'ttl', 'repeats_left')
  local limiter = raw[2] and string.gsub(raw[2], '\31', ' ') or ''
  local f = { user = user_of(limiter), limiter = limiter, queue = raw[1] or queue, type = '',
    created = int(unique_times(1)), result_ttl = whole(raw[4], '500'), failure_ttl = whole(raw[5], '31536000'),
    max_attempts = '1', max_lost = '3', timeout = whole(raw[3], '180'), priority = 'normal',
    flags = (raw[6] and '1' or '') .. (raw[7] and 'r' or '') }
  call('HSET', job_key(id), 'x_v', '1', 'x_core', pack_core(f), 'origin', f.queue)
  f = job(id)
  call('HSET', job_key(id), 'x_mark', mark(f.status))
  f.last, f.seq, f.status_seq = f.status, seq(), seq()
  call('ZADD', state_key(f.state), f.created, id)
  call('ZADD', X .. 'user:' .. f.user, f.created, id)
  changed(id, f.state, 0, f.user, '')
  return f
end
