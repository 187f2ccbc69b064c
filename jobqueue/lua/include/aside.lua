-- Jobs that were taken from the list and may not run now, or not at all. A part of `claim_jobs`.
-- Needs: slots.
-- Loads: call_off, damaged, unleased.
-- Exports: park send_back set_aside come_too_late drop settle_gone
-- A record with nonsense in it cannot be run; the operator finds it among the damaged, and the others go on.
function set_aside(id)
  has_made_room = true
  load_damaged()
  bury(id, nil, true)
end

local function read_order(id, core)
  local f = {}
  read_core(f, core)
  if not f.created then return set_aside(id) end
  local order = string.match(call('HGET', job_key(id), 'x_order') or '', '^%d+$')
  return f, wait_score(f.priority, tonumber(order or f.created))
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

function come_too_late(id)
  local f = job(id, 'x_progress')
  if f.damaged then return set_aside(id) end
  has_made_room = true
  load_call_off()
  call_off(id, f, NOT_IN_TIME, true)
end

-- What is no waiting job is only in the list by mistake: a second entry of a running one, a record that has gone or that
-- nobody can read, a key of another type under a job's name, or an id that RQ does not allow.
function drop(id, status)
  if not string.find(id, '^[%w_-]+$') then
    call('SADD', X .. 'damaged', id)
  elseif not status then
    has_made_room = true
    load_unleased()
    purge_id(id)
  elseif not STATE[status] then
    set_aside(id)
  end
end

-- Places that ids without a record had.
function settle_gone()
  if purge_ownerless then purge_ownerless() end
end
