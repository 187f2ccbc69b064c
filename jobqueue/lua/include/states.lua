-- RQ's words for the state of a job and ours. Needs: base, events.
local STATE = {
  created = 'pending', queued = 'pending', deferred = 'pending', ready_to_enqueue = 'pending', rate_limited = 'pending',
  scheduled = 'scheduled', started = 'running', finished = 'completed', failed = 'failed', canceled = 'cancelled',
  stopped = 'cancelled',
}

local ENDED = { completed = true, failed = true, cancelled = true }

-- The new x_mark of a job whose status changes in this call. `f`: its record until now, when its state may stay the same
-- although RQ's word is another.
local marks = {}
local function mark(status, f)
  if f and f.status_seq and f.state == STATE[status] then return status .. ' ' .. seq() .. ' ' .. f.status_seq end
  if not marks[status] then marks[status] = status .. ' ' .. seq() .. ' ' .. seq() end
  return marks[status]
end
