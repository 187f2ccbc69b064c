#!lua
-- A failed or cancelled job runs afresh under its old id, at the back of its user's line.
-- An old execution that is still stopping keeps its slot and its right to nothing; the claim waits for its end.
-- It waits again for those of the jobs that it depends on which have not ended.
-- `has_data` = 1: `data` replaces the stored call.
-- Result: 1. Errors: NOT_FOUND, WRONG_STATE <state>, UNIQUE_KEY_TAKEN <id>, DEPENDENCY_ENDED <id> <state>. Emits: pending.
local prefix = ARGV[1]
local id = ARGV[2]
local has_data = ARGV[3]
local data = ARGV[4]
-- include: overtake
-- include: enter_line
-- include: adopt
-- include: parents
-- include: attempts
-- include: unique
-- include: sound

local f = sound_job(id, 'origin', 'ended_at', 'worker_name', 'x_error', 'x_unique', 'x_expires', 'retries_left',
  'allow_dependency_failures', 'dependency_ids')
if not f then return refuse('NOT_FOUND', id) end
publish()
if f.state ~= 'failed' and f.state ~= 'cancelled' then return refuse('WRONG_STATE', f.state) end
local holder = f.x_unique and holder_of(f.x_unique, id)
if holder then return refuse('UNIQUE_KEY_TAKEN', holder) end
local parents = parents_of(id, f.dependency_ids)
local waiting, broken = look_at_parents(parents, f.allow_dependency_failures == '1', false)
if broken then return refuse('DEPENDENCY_ENDED', broken[1] .. ' ' .. broken[2]) end

local seen = f
if not f.created then f = adopt(id, f.origin or 'default') end
local from = f.state

local function note_last_attempt()
  if f.attempt == 0 or (seen.worker_name or '') == '' then return end
  note_attempt(id, f, from, from == 'failed' and seen.x_error, seen.ended_at)
end

local function forget_last_run()
  f.exec, f.attempt, f.failures, f.losses, f.ran, f.restarts = nil, 0, 0, 0, '0', f.restarts + 1
  call('HSET', job_key(id), 'x_run', pack_run(f), 'x_progress', '0', 'x_step', '', 'x_done', '0', 'x_total', '0',
    'started_at', '', 'ended_at', '', 'worker_name', '')
  call('HDEL', job_key(id), 'x_error', 'x_reason', 'x_records', 'x_due', 'enqueued_at', 'x_damaged')
  call('SREM', X .. 'damaged', id)
  if seen.retries_left then call('HSET', job_key(id), 'retries_left', math.max(0, f.max_attempts - 1)) end
  call('PERSIST', job_key(id))
  call('ZREM', P .. ':failed:' .. f.queue, id)
  call('ZREM', P .. ':canceled:' .. f.queue, id)
end

local function take_keys()
  if seen.x_unique then call('HSET', UNIQUE, seen.x_unique, id) end
  local expires = tonumber(string.match(seen.x_expires or '', '^%d+$') or '')
  if expires then call('ZADD', DEADLINES, int(now + expires * 1000000), id) end
end

local function go_to_line()
  -- A cancelled job that still stops holds its own place: it leaves it, and the claim counts the live execution.
  if f.limiter then call('ZREM', allowed_key(f.limiter), id) end
  if #waiting == 0 then return enter_line(id, f, unique_times(1)) end
  call('HSET', job_key(id), 'status', 'deferred', 'x_mark', mark('deferred'), 'x_order', int(unique_times(1)))
  defer(id, f.queue, waiting)
end

note_last_attempt()
forget_last_run()
if has_data == '1' then call('HSET', job_key(id), 'data', data) end
take_keys()
go_to_line()
move_state(id, from, 'pending', f.created)
admit_entered()
mark_queued()
changed(id, 'pending', 0, f.user, f.type)
publish()
return 1
