#!lua
-- A failed or cancelled job runs afresh under its old id, at the back of its user's line.
-- An old execution that is still stopping keeps its slot and its right to nothing; the claim waits for its end.
-- `has_data` = 1: `data` replaces the stored call. Errors: NOT_FOUND, WRONG_STATE <state>. Emits: pending.
local prefix = ARGV[1]
local id = ARGV[2]
local has_data = ARGV[3]
local data = ARGV[4]
-- include: base
-- include: events
-- include: limits
-- include: admission
-- include: record
-- include: adopt

local f = fields(id, { 'status', 'origin', 'x_user', 'rate_limit_key', 'x_created', 'x_priority', 'x_type', 'x_retry',
  'x_restarts', 'x_stopping' })
if not f.status then return refuse('NOT_FOUND', id) end
local state = state_of(f)
if state ~= 'failed' and state ~= 'cancelled' then return refuse('WRONG_STATE', state) end
if not f.x_created then adopt(id, f, f.origin or 'default') end

local limiter = f.rate_limit_key
local status = limiter and 'rate_limited' or 'queued'
local order = int(unique_times(1))
call('HSET', job_key(id), 'status', status, 'x_status', status, 'x_order', order, 'x_exec', '', 'x_attempt', '0',
  'x_failures', '0', 'x_losses', '0', 'x_ran', '0', 'x_progress', '0', 'x_step', '', 'x_done', '0', 'x_total', '0',
  'x_restarts', tonumber(f.x_restarts or 0) + 1, 'x_seq', seq(), 'x_status_seq', seq(), 'started_at', '',
  'ended_at', '', 'worker_name', '')
call('HDEL', job_key(id), 'x_error', 'x_records', 'x_due', 'enqueued_at')
if has_data == '1' then call('HSET', job_key(id), 'data', data) end
call('PERSIST', job_key(id))
call('ZREM', P .. ':failed:' .. f.origin, id)
call('ZREM', P .. ':canceled:' .. f.origin, id)
move_state(id, state, 'pending', f.x_created)
if limiter then
  call('SADD', P .. ':rl-keys', limiter)
  if string.sub(limiter, 1, 5) == 'user:' then call('HSET', P .. ':rl:' .. limiter, 'concurrency', PER_USER) end
  -- A cancelled job that still stops holds its own place: it leaves it, and the claim counts the live execution.
  call('ZREM', allowed_key(limiter), id)
  call('ZADD', waiting_key(limiter), wait_score(f.x_priority, tonumber(order)), id)
  promote(limiter)
else
  push(f.origin, id)
end
flush_pushed()
mark_queued()
changed(id, 'pending', seq(), 0, '', f.x_user, f.x_type or '')
publish()
return 1
