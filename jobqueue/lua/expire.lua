#!lua flags=allow-oom
-- Cancels jobs that were not started in time: at most `batch` a call. The claim looks at the deadline too.
-- Result: 1 there is more, else 0. Emits: cancelled, and what follows for their dependents.
local prefix = ARGV[1]
local batch = tonumber(ARGV[2])
-- include: call_off
-- include: release_dependents
-- include when needed: damaged

local function call_off_late(id)
  local f = job(id, 'x_progress')
  if f and f.created and (f.state == 'pending' or f.state == 'scheduled') then call_off(id, f, NOT_IN_TIME) end
end

local overdue = call('ZRANGEBYSCORE', DEADLINES, '-inf', int(now), 'LIMIT', 0, batch)
for _, id in ipairs(overdue) do
  -- Nonsense in one record must not hold up the others.
  if not pcall(call_off_late, id) then
    call('SADD', X .. 'damaged', id)
    load_damaged()
    bury(id)
  end
end
many('ZREM', DEADLINES, overdue)
release_dependents(MOST_RELEASED)
give_back()
mark_queued()
publish()
return #overdue == batch and 1 or 0
