-- A user's better jobs take over the places of his admitted ones that have not started. Across users nothing changes: the
-- places stay where they are in the queue.
-- Needs: promotion, record.
-- Exports: admit_entered
-- With higher limits a user's admitted jobs are too many to look at each time: then only the waiting ones are overtaken.
local MOST_ADMITTED = 50
-- Deeper in a list nobody is searched for.
local DEEPEST = 20000

-- Its parts are made only when somebody may overtake, which is seldom.
local function overtake(limiter)
  local function by_score(one, other) return one.score < other.score end

  -- The admitted jobs that have not started, best first.
  local function not_started(limiter)
    local found, parked = {}, X .. 'parked:' .. user_of(limiter)
    local flat = call('ZRANGE', allowed_key(limiter), 0, -1, 'WITHSCORES')
    for i = 1, #flat, 2 do
      local id, f = flat[i], job(flat[i])
      if f and f.created and (f.status == 'queued' or unmarked[id]) then
        local index = call('LPOS', queue_key(f.queue), id, 'MAXLEN', DEEPEST)
        if index or call('ZSCORE', parked, id) then
          found[#found + 1] = { id = id, score = tonumber(flat[i + 1]), queue = f.queue, type = f.type, index = index }
        end
      end
    end
    return found
  end

  -- Back to its line with the worse one; its place among the admitted goes to the better one.
  local function swap(limiter, worse, best, f)
    local user = user_of(limiter)
    call('ZREM', allowed_key(limiter), worse.id)
    if type_limit(worse.type) then call('SREM', places_key(worse.type), worse.id) end
    leave_parked(user, worse.id)
    if not unmarked[worse.id] then call('HSET', job_key(worse.id), 'status', 'rate_limited') end
    unmarked[worse.id] = nil
    wait(limiter, worse.type, worse.id, worse.score)
    call('ZADD', allowed_key(limiter), best.score, best.id)
    unmarked[best.id] = true
    if best.type then place_given(user, best) end
    return { id = best.id, score = best.score, queue = f.queue, type = f.type, is_new = true }
  end

  local function swap_all(limiter, jobs)
    local best_of = SPECIAL and best_waiting or first_waiting
    for _ = 1, #jobs > 0 and MOST_PROMOTED or 0 do
      local worse, best = jobs[#jobs], best_of(limiter)
      if not best or best.score >= worse.score then return end
      call('ZREM', best.key, best.id)
      local f = job(best.id)
      if f and f.status == 'rate_limited' then
        jobs[#jobs] = swap(limiter, worse, best, f)
        table.sort(jobs, by_score)
      end
    end
  end

  -- The best job gets the first of the places that they had in this list, and so on.
  local function arrange(queue, jobs, before)
    local places, n = {}, 0
    for _, one in ipairs(before) do
      if one.queue == queue and one.index then places[#places + 1] = one.index end
    end
    table.sort(places)
    for _, one in ipairs(jobs) do
      if one.queue == queue and (one.index or one.is_new) then
        n = n + 1
        if places[n] then call('LSET', queue_key(queue), places[n], one.id) else call('RPUSH', queue_key(queue), one.id) end
      end
    end
    -- Places that nobody of this queue took over: emptied by position, as their old ids may stand elsewhere now.
    for rest = n + 1, #places do call('LSET', queue_key(queue), places[rest], '') end
    if n < #places then call('LREM', queue_key(queue), 0, '') end
  end

  local before = not_started(limiter)
  local jobs, queues = { unpack(before) }, {}
  swap_all(limiter, jobs)
  for _, one in ipairs(before) do queues[one.queue] = true end
  for _, one in ipairs(jobs) do queues[one.queue] = true end
  for queue in pairs(queues) do arrange(queue, jobs, before) end
end

local function may_overtake(limiter, best_entered)
  local worst = call('ZREVRANGE', allowed_key(limiter), 0, 0, 'WITHSCORES')
  return worst[2] and best_entered < tonumber(worst[2]) and call('ZCARD', allowed_key(limiter)) <= MOST_ADMITTED
end

-- For everybody who entered a line in this call.
function admit_entered()
  for limiter in pairs(entered) do promote(limiter) end
  flush_pushed()
  for limiter, best_entered in pairs(entered) do
    if may_overtake(limiter, best_entered) then overtake(limiter) end
  end
  entered = {}
end
