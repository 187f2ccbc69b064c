-- A job that a stock producer enqueued joins our index: an owner, a place in time, our own last word on its status.
-- Needs: limits, record, order, whole.
-- Exports: adopt
local NO_WEBHOOKS = 'its webhooks are not called: workers of this queue call none'

local function flags(ttl, repeats, callbacks)
  return (ttl and '1' or '') .. (callbacks ~= '' and 'c' or '') .. (repeats and 'r' or '')
end

local function default_result_ttl() return call('HGET', META, 'stock_result_ttl') or '500' end

-- Answers the whole record.
function adopt(id, queue)
  local raw = call('HMGET', job_key(id), 'origin', 'rate_limit_key', 'timeout', 'result_ttl', 'failure_ttl', 'ttl', 'repeats_left',
    'webhooks', 'success_callback_name', 'failure_callback_name', 'stopped_callback_name')
  local limiter = raw[2] and string.gsub(raw[2], '\31', ' ') or ''
  local f = { user = user_of(limiter), limiter = limiter, queue = raw[1] and string.match(raw[1], '^[^%c]+$') or queue, type = '',
    created = int(unique_times(1)), result_ttl = whole(raw[4]) or default_result_ttl(), failure_ttl = whole(raw[5], '31536000'),
    max_attempts = '1', max_lost = '3', timeout = whole(raw[3], '180'), priority = 'normal',
    flags = flags(raw[6], raw[7], (raw[9] or '') .. (raw[10] or '') .. (raw[11] or '')) }
  call('HSET', job_key(id), 'x_v', '1', 'x_core', pack_core(f), 'origin', f.queue)
  if raw[8] then call('HSET', job_key(id), 'x_reason', NO_WEBHOOKS) end
  f = job(id)
  call('HSET', job_key(id), 'x_mark', mark(f.status))
  f.last, f.seq, f.status_seq = f.status, seq(), seq()
  call('ZADD', state_key(f.state), f.created, id)
  call('ZADD', X .. 'user:' .. f.user, f.created, id)
  changed(id, f.state, 0, f.user, '')
  return f
end
