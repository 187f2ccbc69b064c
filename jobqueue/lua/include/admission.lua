-- Who may stand in the queue list: RQ's limiter keys hold the admitted (queued or running) and the waiting jobs of a user.
-- Needs: base, limits.
local BAND = { low = 4e9, normal = 0, high = -4e9, urgent = -8e9 }

-- The user's own order: a band of its priority, then time in seconds, which is what stock RQ writes there.
local function wait_score(priority, order) return (BAND[priority] or 0) + order / 1000000 end

local function allowed_key(limiter) return P .. ':rl:' .. limiter .. ':allowed' end
local function waiting_key(limiter) return P .. ':rl:' .. limiter .. ':rate_limited' end

-- Limiters of ours carry our limit; those of stock producers keep their own number.
local function limit_of(limiter)
  if string.sub(limiter, 1, 5) == 'user:' then return PER_USER end
  return tonumber(call('HGET', P .. ':rl:' .. limiter, 'concurrency') or 1)
end

-- Pushed ids by queue, not yet in the lists, and those of them whose record does not say `queued` yet.
local pushed = {}
local unmarked = {}

local function push(queue, id) append(pushed, queue, id) end

local function drop_if_idle(limiter)
  if call('EXISTS', allowed_key(limiter), waiting_key(limiter)) == 0 then
    call('DEL', P .. ':rl:' .. limiter)
    call('SREM', P .. ':rl-keys', limiter)
  end
end

-- Fills the free places of a limiter from its waiting jobs, best first. At most 500 a call, entries without a job counted
-- too; the tick goes on.
local function promote(limiter)
  local places = math.min(limit_of(limiter) - call('ZCARD', allowed_key(limiter)), 500)
  local looked_at = 0
  while places > 0 and looked_at < 500 do
    local popped = call('ZPOPMIN', waiting_key(limiter), places)
    if #popped == 0 then break end
    looked_at = looked_at + #popped / 2
    local admitted = {}
    for i = 1, #popped, 2 do
      local id = popped[i]
      local f = read_fields(id, 'status', 'origin')
      if f[1] == 'rate_limited' and f[2] then
        admitted[#admitted + 1] = clock[1]
        admitted[#admitted + 1] = id
        push(f[2], id)
        unmarked[id] = true
        places = places - 1
      end
    end
    many('ZADD', allowed_key(limiter), admitted)
  end
end

-- Jobs that were admitted but might not run come back to the head of the queue as far as the user has free slots.
local function unpark(user)
  local key = X .. 'parked:' .. user
  local slots = math.min(PER_USER - call('SCARD', X .. 'live:' .. user), 500)
  if slots <= 0 then return end
  local popped = call('ZPOPMIN', key, slots)
  for i = #popped - 1, 1, -2 do
    local origin = read_fields(popped[i], 'origin')[1]
    if origin then call('LPUSH', queue_key(origin), popped[i]) end
  end
  if #popped > 0 and call('EXISTS', key) == 0 then call('SREM', X .. 'parked', user) end
end

local function flush_pushed()
  for queue, ids in pairs(pushed) do
    call('SADD', P .. ':queues', queue_key(queue))
    many('RPUSH', queue_key(queue), ids)
  end
  pushed = {}
end

-- Written last: a job that the same call claims never needs it. Our own last word stays `rate_limited`: to watchers both
-- are the same, and stock RQ moves jobs from the one to the other too.
local function mark_queued()
  local at
  for id in pairs(unmarked) do
    at = at or iso(now)
    call('HSET', job_key(id), 'status', 'queued', 'enqueued_at', at)
  end
  unmarked = {}
end
