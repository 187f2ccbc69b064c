-- Jobs come into their users' lines, from there into the queue list, and back to it when they might not run.
-- Needs: admission, record.
-- Exports: promote drop_if_idle best_waiting place_given sort_out promote_type unpark leave_parked enter_line
function drop_if_idle(limiter)
  if call('EXISTS', allowed_key(limiter), waiting_key(limiter)) > 0 then return end
  if SPECIAL and call('EXISTS', lines_key(user_of(limiter))) == 1 then return end
  call('DEL', P .. ':rl:' .. limiter)
  call('SREM', P .. ':rl-keys', limiter)
end

-- The first of a user's waiting jobs whose type has a place: { key, id, score, type of its line }.
function best_waiting(limiter)
  local user, best = user_of(limiter), nil
  local head = call('ZRANGE', waiting_key(limiter), 0, 0, 'WITHSCORES')
  if head[1] then best = { key = waiting_key(limiter), id = head[1], score = tonumber(head[2]) } end
  if not SPECIAL then return best end
  for _, job_type in ipairs(call('SMEMBERS', lines_key(user))) do
    local key = line_key(user, job_type)
    head = call('ZRANGE', key, 0, 0, 'WITHSCORES')
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

-- What stands in the user's line since before its type was controlled goes to the line of its type.
function sort_out(limiter, best, core)
  local job_type = core and select(4, string.match(core, CORE_HEAD))
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

local function promote_one_by_one(limiter, places)
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

-- Fills the free places of a limiter from its waiting jobs, best first. At most 500 a call, entries without a job counted
-- too; the tick goes on.
function promote(limiter)
  local places = math.min(limit_of(limiter) - call('ZCARD', allowed_key(limiter)), MOST_PROMOTED)
  if SPECIAL then return promote_one_by_one(limiter, places) end
  local looked_at = 0
  while places > 0 and looked_at < MOST_PROMOTED do
    local popped = call('ZPOPMIN', waiting_key(limiter), places)
    if #popped == 0 then break end
    looked_at = looked_at + #popped / 2
    local admitted = {}
    for i = 1, #popped, 2 do
      local id = popped[i]
      local f = read_fields(id, 'status', 'origin')
      if f[1] == 'rate_limited' and f[2] then
        admitted[#admitted + 1] = popped[i + 1]
        admitted[#admitted + 1] = id
        push(f[2], id)
        unmarked[id] = true
        places = places - 1
      end
    end
    many('ZADD', allowed_key(limiter), admitted)
  end
end

-- Users who wait for a place of this type, in turns.
local MOST_USERS = 16
function promote_type(job_type)
  if not type_limit(job_type) then return end
  for _, user in ipairs(call('ZRANGE', waiters_key(job_type), 0, MOST_USERS - 1)) do
    if free_places(job_type) <= 0 then return end
    promote('user:' .. user)
    call('ZADD', waiters_key(job_type), 'XX', int(now), user)
  end
end

-- Jobs that were admitted but might not run come back to the head of the queue as far as the user has free slots.
function unpark(user)
  local key = X .. 'parked:' .. user
  local slots = math.min(user_limit(user) - call('SCARD', X .. 'live:' .. user), MOST_PROMOTED)
  if slots <= 0 then return end
  local popped = call('ZPOPMIN', key, slots)
  for i = #popped - 1, 1, -2 do
    local origin = read_fields(popped[i], 'origin')[1]
    if origin then call('LPUSH', queue_key(origin), popped[i]) end
  end
  if #popped > 0 and call('EXISTS', key) == 0 then call('SREM', X .. 'parked', user) end
end

function leave_parked(user, id)
  local key = X .. 'parked:' .. user
  local found = call('ZREM', key, id)
  if found == 1 and call('EXISTS', key) == 0 then call('SREM', X .. 'parked', user) end
  return found
end

-- A job that exists already takes its place in its user's line; `order`: microseconds. `admit_entered` goes on.
function enter_line(id, f, order)
  if not f.limiter then
    call('HSET', job_key(id), 'status', 'queued', 'x_mark', mark('queued', f), 'enqueued_at', iso(now))
    return push(f.queue, id)
  end
  local score = wait_score(f.priority, order)
  call('HSET', job_key(id), 'status', 'rate_limited', 'x_mark', mark('rate_limited', f), 'x_order', int(order))
  note_limiter(f.limiter)
  wait(f.limiter, f.type, id, score)
  note_entered(f.limiter, score)
end
