-- Job types that have a limit of their own or are paused ("controlled" types). Their jobs wait in a line for each user and
-- type, so that they stand before nobody who may run, and need a place of their type besides the one of their user.
-- A part of `admission`, there when SPECIAL.
-- Exports: line_key lines_key places_key waiters_key free_places wait_by_type takes_place best_waiting place_given sort_out promote_by_type promote_type
function line_key(user, job_type) return X .. 'line:' .. user .. ':' .. job_type end
function lines_key(user) return X .. 'lines:' .. user end
function places_key(job_type) return X .. 'places:' .. job_type end
function waiters_key(job_type) return X .. 'waiters:' .. job_type end

function free_places(job_type) return type_limit(job_type) - call('SCARD', places_key(job_type)) end

local function close_line(user, job_type)
  call('SREM', lines_key(user), job_type)
  call('ZREM', waiters_key(job_type), user)
end

function wait_by_type(user, job_type, id, score)
  call('ZADD', line_key(user, job_type), score, id)
  call('SADD', lines_key(user), job_type)
  call('ZADD', waiters_key(job_type), 'NX', 0, user)
end

-- Whether a job that stands in the queue may start as far as its type is concerned; it holds a place then.
function takes_place(id, job_type)
  local limit = type_limit(job_type)
  if not limit then return true end
  local held = call('SCARD', places_key(job_type))
  -- After a limit was lowered there are more places given than there should be.
  if call('SISMEMBER', places_key(job_type), id) == 1 then return held <= limit end
  if held >= limit then return false end
  call('SADD', places_key(job_type), id)
  return true
end

-- The first of a user's waiting jobs whose type has a place: { key, id, score, type of its line }.
function best_waiting(limiter)
  local user, best = user_of(limiter), first_waiting(limiter)
  for _, job_type in ipairs(call('SMEMBERS', lines_key(user))) do
    local key = line_key(user, job_type)
    local head = call('ZRANGE', key, 0, 0, 'WITHSCORES')
    if not head[1] or not type_limit(job_type) then
      close_line(user, job_type)
    elseif free_places(job_type) > 0 and (not best or tonumber(head[2]) < best.score) then
      best = { key = key, id = head[1], score = tonumber(head[2]), type = job_type }
    end
  end
  return best
end

-- A job has left a line of its type for the queue: the others who wait for this type are next.
function place_given(user, best)
  call('SADD', places_key(best.type), best.id)
  if call('EXISTS', best.key) == 1 then call('ZADD', waiters_key(best.type), int(now), user) else close_line(user, best.type) end
end

local TYPE_IN_CORE = '^[^\31]*\31[^\31]*\31[^\31]*\31([^\31]*)\31'

-- What stands in the user's line since before its type was controlled goes to the line of its type.
function sort_out(limiter, best, core)
  local job_type = core and string.match(core, TYPE_IN_CORE)
  if best.type or not job_type or not type_limit(job_type) then return false end
  wait_by_type(user_of(limiter), job_type, best.id, best.score)
  return true
end

local function admit(limiter, best, queue)
  call('ZADD', allowed_key(limiter), best.score, best.id)
  push(queue, best.id)
  unmarked[best.id] = true
  if best.type then place_given(user_of(limiter), best) end
end

-- Fills the free places of a limiter, at most 500 a call.
function promote_by_type(limiter)
  local places = limit_of(limiter) - call('ZCARD', allowed_key(limiter))
  for _ = 1, MOST_PROMOTED do
    local best = places > 0 and best_waiting(limiter)
    if not best then return end
    call('ZREM', best.key, best.id)
    local f = read_fields(best.id, 'status', 'origin', 'x_core')
    if f[1] == 'rate_limited' and f[2] and not sort_out(limiter, best, f[3]) then
      admit(limiter, best, f[2])
      places = places - 1
    end
  end
end

-- Users who wait for a place of this type, in turns.
local MOST_USERS = 16
function promote_type(job_type)
  if not type_limit(job_type) then return end
  for _, user in ipairs(call('ZRANGE', waiters_key(job_type), 0, MOST_USERS - 1)) do
    if free_places(job_type) <= 0 then return end
    promote_by_type('user:' .. user)
    call('ZADD', waiters_key(job_type), 'XX', int(now), user)
  end
end
