#!lua flags=no-writes,allow-oom
-- Why jobs wait, and for how long still. Reads a handful of counters a job, whatever their number.
-- Items: job_id
-- Result: for each { reason, detail, ahead_own, position, eta } or {} (it does not wait); -1 = not known; eta in microseconds.
-- Emits: nothing.
local prefix = ARGV[1]
-- include: running
-- include: admission
-- include: parents

local BEAT = 15000000
local MOST_RUNNING, MOST_NAMED, MOST_PARKED = 1000, 10, 50
local RUNNING = running_now()

local has_worker = {}
local function worker_lives(queue)
  if has_worker[queue] ~= nil then return has_worker[queue] end
  has_worker[queue] = false
  for _, key in ipairs(call('SMEMBERS', P .. ':workers:' .. queue)) do
    local beat, drain = unpack(call('HMGET', X .. 'worker:' .. string.sub(key, #P + 9), 'beat', 'drain'))
    local is_ours = beat and tonumber(beat) > now - BEAT and not drain
    if is_ours or not beat and call('EXISTS', key) == 1 then has_worker[queue] = true end
  end
  return has_worker[queue]
end

local function paused(f)
  if call('EXISTS', P .. ':suspended') == 1 then return 'queue' end
  if not SPECIAL then return nil end
  if call('HEXISTS', PAUSED, 'user:' .. f.user) == 1 then return 'user' end
  return call('HEXISTS', PAUSED, 'type:' .. f.type) == 1 and 'type'
end

local function type_is_full(id, f)
  return type_limit(f.type) and free_places(f.type) <= 0 and call('SISMEMBER', places_key(f.type), id) == 0
end

local function reason_in_line(id, f)
  if f.stopping and call('ZSCORE', STOPPING, id .. ':' .. f.stopping) then return 'stopping_previous', '' end
  local what = paused(f)
  if what then return 'paused', what end
  if not worker_lives(f.queue) then return 'no_worker', f.queue end
  if call('SCARD', X .. 'live:' .. f.user) >= user_limit(f.user) then return 'user_limit', '' end
  if type_is_full(id, f) then return 'type_limit', '' end
  return RUNNING >= TOTAL and 'global_limit' or 'behind_others', ''
end

local function before(key, score) return call('ZCOUNT', key, '-inf', '(' .. string.format('%.17g', score)) end

-- Of the user's admitted jobs those that run have started already.
local function started_before(f, score)
  local live, found = X .. 'live:' .. f.user, 0
  if call('SCARD', live) > MOST_RUNNING then return call('SCARD', live) end
  for _, token in ipairs(call('SMEMBERS', live)) do
    local other = call('ZSCORE', allowed_key(f.limiter), string.match(token, '^(.*):[^:]*$'))
    if other and tonumber(other) < score then found = found + 1 end
  end
  return found
end

-- Jobs of the user that start before this one: those of a type that has no place stand before nobody of another type.
local function ahead_own(f, score)
  local found = before(waiting_key(f.limiter), score) + before(allowed_key(f.limiter), score) - started_before(f, score)
  if not SPECIAL then return math.max(0, found) end
  for _, job_type in ipairs(call('SMEMBERS', lines_key(f.user))) do
    if job_type == f.type or type_limit(job_type) and free_places(job_type) > 0 then
      found = found + before(line_key(f.user, job_type), score)
    end
  end
  return math.max(0, found)
end

-- The user's own jobs that are pending, as far as one look tells.
local function own_pending(f)
  local found = call('ZCARD', waiting_key(f.limiter)) + call('ZCARD', allowed_key(f.limiter)) - call('SCARD', X .. 'live:' .. f.user)
  if not SPECIAL then return math.max(0, found) end
  for _, job_type in ipairs(call('SMEMBERS', lines_key(f.user))) do
    found = found + call('ZCARD', line_key(f.user, job_type))
  end
  return math.max(0, found)
end

local function parked_now()
  local users = call('SMEMBERS', X .. 'parked')
  if #users > MOST_PARKED then return math.huge end
  local found = 0
  for _, user in ipairs(users) do found = found + call('ZCARD', X .. 'parked:' .. user) end
  return found
end

-- Others' jobs that may start before this one, at most.
local function others(f)
  local found = math.max(0, call('ZCARD', state_key('pending')) - own_pending(f))
  if f.status ~= 'queued' then return found end
  return math.min(found, call('LLEN', queue_key(f.queue)) + parked_now())
end

local function turns(jobs, slots) return slots > 0 and math.max(0, jobs - slots + 1) / slots or 0 end

-- From the mean run time of the type: so many ends of jobs must come before this one's start.
local function eta(f, ahead, found)
  local mean = tonumber(string.match(call('HGET', X .. 'times', f.type) or '', '^%d+'))
  if not mean then return -1 end
  local limit, users = user_limit(f.user), call('SCARD', P .. ':rl-keys')
  local fair = math.min(found, (ahead + limit) * math.max(0, users - 1))
  local wait_for = math.max(turns(call('SCARD', X .. 'live:' .. f.user) + ahead, limit), turns(RUNNING + ahead + fair, TOTAL))
  local own_type = type_limit(f.type)
  if own_type and own_type < math.huge then
    wait_for = math.max(wait_for, turns(call('SCARD', places_key(f.type)) + ahead, own_type))
  end
  return math.floor(mean * wait_for)
end

local NO_ETA = { paused = true, no_worker = true }

local function in_line(id, f)
  local reason, detail = reason_in_line(id, f)
  if not f.limiter then return { reason, detail, -1, -1, -1 } end
  local ahead = ahead_own(f, wait_score(f.priority, tonumber(f.x_order or f.created)))
  local found = others(f)
  return { reason, detail, ahead, 1 + ahead + found, NO_ETA[reason] and -1 or eta(f, ahead, found) }
end

local function until_due(id, f)
  local due = call('ZSCORE', P .. ':scheduled:' .. f.queue, id)
  return due and math.max(0, math.floor(tonumber(due) * 1000000 - now)) or -1
end

local function dependency(id, f)
  local waiting = look_at_parents(call('SMEMBERS', parents_key(id)), f.allow_dependency_failures == '1', false)
  return { 'dependency', table.concat({ unpack(waiting, 1, MOST_NAMED) }, ' '), -1, -1, -1 }
end

local function explain(id)
  local f = job(id, 'x_order', 'allow_dependency_failures')
  if not f or not f.created or f.state ~= 'pending' and f.state ~= 'scheduled' then return {} end
  if f.status == 'scheduled' then return { f.retry and 'retry_backoff' or 'scheduled', '', -1, -1, until_due(id, f) } end
  if f.status == 'deferred' then return dependency(id, f) end
  return in_line(id, f)
end

local answer = {}
for i = ITEMS, #ARGV do
  -- Nonsense in one record must not keep the others from being explained.
  local ok, found = pcall(explain, ARGV[i])
  answer[#answer + 1] = ok and found or {}
end
return answer
