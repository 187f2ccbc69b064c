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

local limiters = {}
local moved = 0

local function enter_line(id, f)
  if f.limiter then
    -- A scheduled job takes its place in line by its due time, a retry by its old place.
    local order = tonumber(f.retry and (f.x_order or f.created) or f.x_due or now)
    call('HSET', job_key(id), 'status', 'rate_limited', 'x_mark', mark('rate_limited'), 'x_order', int(order))
    call('SADD', P .. ':rl-keys', f.limiter)
    call('ZADD', waiting_key(f.limiter), wait_score(f.priority, order), id)
    limiters[f.limiter] = true
  else
    call('HSET', job_key(id), 'status', 'queued', 'x_mark', mark('queued'), 'enqueued_at', iso(now))
    push(f.queue, id)
  end
end

local function move(id, queue)
  local f = job(id, 'x_due', 'x_order')
  if not f or f.status ~= 'scheduled' then return end
  if not f.created then f = adopt(id, queue) end
  enter_line(id, f)
  call('HDEL', job_key(id), 'x_retry')
  move_state(id, f.state, 'pending', f.created)
  changed(id, 'pending', 0, f.user, f.type)
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
