-- Reading a job's fields by name, and moving it from one state to another in the index.
-- Needs: base.
local function fields(id, names)
  local values = call('HMGET', job_key(id), unpack(names))
  local f = {}
  for i, name in ipairs(names) do f[name] = values[i] end
  return f
end

local STATE = {
  created = 'pending', queued = 'pending', deferred = 'pending', ready_to_enqueue = 'pending', rate_limited = 'pending',
  scheduled = 'scheduled', started = 'running', finished = 'completed', failed = 'failed', canceled = 'cancelled',
  stopped = 'cancelled',
}

-- `f`: status and x_retry. A retry that waits for its back-off is pending for our users.
local function state_of(f)
  if f.status == 'scheduled' and f.x_retry then return 'pending' end
  return STATE[f.status or ''] or 'pending'
end

local function move_state(id, from, to, created)
  call('ZREM', state_key(from), id)
  call('ZADD', state_key(to), created, id)
end
