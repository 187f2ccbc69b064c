-- Who may stand in the queue list: RQ's limiter keys hold the admitted (queued or running) and the waiting jobs of a user,
-- both in the user's own order.
-- Needs: limits, states.
local BAND = { low = 4e9, normal = 0, high = -4e9, urgent = -8e9 }
local MOST_PROMOTED = 500

-- The user's own order: a band of its priority, then time in seconds, which is what stock RQ writes there.
local function wait_score(priority, order) return (BAND[priority] or 0) + order / 1000000 end

local function allowed_key(limiter) return P .. ':rl:' .. limiter .. ':allowed' end
local function waiting_key(limiter) return P .. ':rl:' .. limiter .. ':rate_limited' end

-- Limiters of ours carry our limit; those of stock producers keep their own number.
local function limit_of(limiter)
  if string.sub(limiter, 1, 5) == 'user:' then return user_limit(string.sub(limiter, 6)) end
  return tonumber(call('HGET', P .. ':rl:' .. limiter, 'concurrency') or 1)
end

-- Pushed ids by queue, not yet in the lists, and those of them whose record does not say `queued` yet.
local pushed = {}
local unmarked = {}

local function push(queue, id) append(pushed, queue, id) end

-- The first of a user's waiting jobs, types aside: { key, id, score }.
local function first_waiting(limiter)
  local head = call('ZRANGE', waiting_key(limiter), 0, 0, 'WITHSCORES')
  return head[1] and { key = waiting_key(limiter), id = head[1], score = tonumber(head[2]) }
end
-- include when needed: types
if SPECIAL then load_types() end

local function wait(limiter, job_type, id, score)
  if type_limit(job_type) then return wait_by_type(user_of(limiter), job_type, id, score) end
  call('ZADD', waiting_key(limiter), score, id)
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

-- For each limiter the best score that came into its line: whoever stands behind it may have to give way.
local entered = {}
local function note_entered(limiter, score) entered[limiter] = math.min(score, entered[limiter] or math.huge) end

local function note_limiter(limiter)
  call('SADD', P .. ':rl-keys', limiter)
  if string.sub(limiter, 1, 5) == 'user:' then call('HSET', P .. ':rl:' .. limiter, 'concurrency', limit_of(limiter)) end
end
