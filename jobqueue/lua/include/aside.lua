-- Jobs that were taken from the list and may not run now. A part of `claim_jobs`.
-- Needs: slots.
-- Exports: park send_back
local function read_order(id, core)
  local f = {}
  read_core(f, core)
  if not f.created then return set_aside(id) end
  return f, wait_score(f.priority, tonumber(call('HGET', job_key(id), 'x_order') or f.created))
end

local function leave_place(id, job_type)
  if not type_limit(job_type) then return end
  append(freed.places, job_type, id)
  has_made_room = call('SREM', places_key(job_type), id) == 1 or has_made_room
end

function park(id, user, core)
  local f, score = read_order(id, core)
  if not f then return end
  call('ZADD', X .. 'parked:' .. user, score, id)
  call('SADD', X .. 'parked', user)
  leave_place(id, f.type)
end

-- Its type is paused or at its limit: it gives its place up to the user's other jobs, and keeps its order among them.
function send_back(id, core)
  local f, score = read_order(id, core)
  if not f then return end
  leave_place(id, f.type)
  append(freed.allowed, f.limiter, id)
  has_made_room = true
  call('HSET', job_key(id), 'status', 'rate_limited')
  unmarked[id] = nil
  wait(f.limiter, f.type, id, score)
end
