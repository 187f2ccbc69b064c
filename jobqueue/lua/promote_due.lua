#!lua flags=allow-oom
-- Moves jobs whose time has come to their user's line: at most `batch` a call.
-- Result: { moved, more }. Emits: pending.
local prefix = ARGV[1]
local interval = tonumber(ARGV[2])
local batch = tonumber(ARGV[3])
-- include: throttle
-- include: overtake
-- include: enter_line
-- include: adopt
-- include: sound

local moved = 0

local function is_no_time(text) return text and (not string.find(text, '^%d+$') or #text > LONGEST_TIME) end

local function move(id, queue)
  local f = sound_job(id, 'x_due', 'x_order')
  if f and (is_no_time(f.x_due) or is_no_time(f.x_order)) then
    load_damaged()
    return bury(id)
  end
  if not f or f.status ~= 'scheduled' then return end
  if not f.created then f = adopt(id, queue) end
  -- A scheduled job takes its place in line by its due time, a retry by its old place.
  enter_line(id, f, tonumber(f.retry and (f.x_order or f.created) or f.x_due or now))
  call('HDEL', job_key(id), 'x_retry')
  move_state(id, f.state, 'pending', f.created)
  changed(id, 'pending', 0, f.user, f.type, f.state == 'pending' and f.status_seq)
  moved = moved + 1
end

if too_soon('promote_throttle', interval) then return { 0, 0 } end
local left = batch
for _, key in ipairs(call('SMEMBERS', P .. ':queues')) do
  local queue = string.sub(key, #P + 8)
  -- RQ's scheduler moves them; it would write what it has read before over what we wrote.
  local others_do = call('EXISTS', P .. ':scheduler-lock:' .. queue) == 1
  local due = call('ZRANGEBYSCORE', P .. ':scheduled:' .. queue, '-inf', string.format('%.6f', now / 1000000),
    'LIMIT', 0, others_do and 0 or left)
  for _, id in ipairs(due) do move(id, queue) end
  many('ZREM', P .. ':scheduled:' .. queue, due)
  left = left - #due
end
admit_entered()
mark_queued()
publish()
return { moved, left == 0 and 1 or 0 }
