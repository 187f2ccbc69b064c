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

local f = job(id, 'origin')
if not f then return refuse('NOT_FOUND', id) end
if f.state ~= 'failed' and f.state ~= 'cancelled' then return refuse('WRONG_STATE', f.state) end
local from = f.state
if not f.created then f = adopt(id, f.origin or 'default') end

local status = f.limiter and 'rate_limited' or 'queued'
local order = unique_times(1)
f.exec, f.attempt, f.failures, f.losses, f.ran, f.restarts = nil, 0, 0, 0, '0', f.restarts + 1
call('HSET', job_key(id), 'status', status, 'x_mark', mark(status), 'x_run', pack_run(f), 'x_order', int(order),
  'x_progress', '0', 'x_step', '', 'x_done', '0', 'x_total', '0', 'started_at', '', 'ended_at', '', 'worker_name', '')
call('HDEL', job_key(id), 'x_error', 'x_records', 'x_due', 'enqueued_at')
if has_data == '1' then call('HSET', job_key(id), 'data', data) end
call('PERSIST', job_key(id))
call('ZREM', P .. ':failed:' .. f.queue, id)
call('ZREM', P .. ':canceled:' .. f.queue, id)
move_state(id, from, 'pending', f.created)
if f.limiter then
  call('SADD', P .. ':rl-keys', f.limiter)
  if string.sub(f.limiter, 1, 5) == 'user:' then call('HSET', P .. ':rl:' .. f.limiter, 'concurrency', PER_USER) end
  -- A cancelled job that still stops holds its own place: it leaves it, and the claim counts the live execution.
  call('ZREM', allowed_key(f.limiter), id)
  call('ZADD', waiting_key(f.limiter), wait_score(f.priority, order), id)
  promote(f.limiter)
else
  push(f.queue, id)
end
flush_pushed()
mark_queued()
changed(id, 'pending', 0, f.user, f.type)
publish()
return 1
