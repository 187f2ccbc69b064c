#!lua flags=allow-oom
-- Moves jobs whose time has come to their user's line: at most `batch` a call and queue.
-- Result: { moved, more }. Emits: pending.
local prefix = ARGV[1]
local interval = tonumber(ARGV[2])
local batch = tonumber(ARGV[3])
-- include: base
-- include: throttle
-- include: events
-- include: limits
-- include: admission
-- include: record
-- include: adopt

local DUE_FIELDS = { 'status', 'origin', 'x_user', 'rate_limit_key', 'x_created', 'x_priority', 'x_retry', 'x_type',
  'x_due', 'x_order' }
local limiters = {}
local moved = 0

local function enter_line(id, f)
  if f.rate_limit_key then
    -- A scheduled job takes its place in line by its due time, a retry by its old place.
    local order = f.x_retry and (f.x_order or f.x_created) or (f.x_due or now)
    call('HSET', job_key(id), 'status', 'rate_limited', 'x_status', 'rate_limited')
    if not f.x_retry then call('HSET', job_key(id), 'x_order', int(tonumber(order))) end
    call('SADD', P .. ':rl-keys', f.rate_limit_key)
    call('ZADD', waiting_key(f.rate_limit_key), wait_score(f.x_priority, tonumber(order)), id)
    limiters[f.rate_limit_key] = true
  else
    call('HSET', job_key(id), 'status', 'queued', 'x_status', 'queued', 'enqueued_at', iso(now))
    push(f.origin, id)
  end
end

local function move(id, queue)
  local f = fields(id, DUE_FIELDS)
  if f.status ~= 'scheduled' then return end
  if not f.x_created then adopt(id, f, queue) end
  local from = state_of(f)
  enter_line(id, f)
  call('HSET', job_key(id), 'x_seq', seq(), 'x_status_seq', seq())
  call('HDEL', job_key(id), 'x_retry')
  move_state(id, from, 'pending', f.x_created)
  changed(id, 'pending', seq(), 0, '', f.x_user, f.x_type or '')
  moved = moved + 1
end

if too_soon('promote_throttle', interval) then return { 0, 0 } end
local more = 0
for _, key in ipairs(call('SMEMBERS', P .. ':queues')) do
  local queue = string.sub(key, #P + 8)
  local due = call('ZRANGEBYSCORE', P .. ':scheduled:' .. queue, '-inf', string.format('%.6f', now / 1000000),
    'LIMIT', 0, batch)
  for _, id in ipairs(due) do move(id, queue) end
  many('ZREM', P .. ':scheduled:' .. queue, due)
  if #due == batch then more = 1 end
end
for limiter in pairs(limiters) do promote(limiter) end
flush_pushed()
mark_queued()
publish()
return { moved, more }
