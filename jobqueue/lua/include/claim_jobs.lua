-- Takes up to `want` jobs from the queue lists and gives their leases to a worker.
-- A repeated claim number gets the jobs of the first time (the reply was lost); an older one is refused.
-- Needs: base, events, limits, admission, record, adopt.
local CLAIM_FIELDS = { 'status', 'data', 'x_user', 'rate_limit_key', 'x_type', 'x_created', 'x_attempt', 'x_fence',
  'x_failures', 'x_max_attempts', 'timeout', 'result_ttl', 'failure_ttl', 'x_stopping', 'origin', 'ttl', 'x_retry' }

local taken = { jobs = {}, ids = {}, leases = {}, wip = {}, live = {}, running = {} }
local live_count = {}

local function live_of(user)
  live_count[user] = live_count[user] or call('SCARD', X .. 'live:' .. user)
  return live_count[user]
end

local function park(id, user)
  call('ZADD', X .. 'parked:' .. user, now, id)
  call('SADD', X .. 'parked', user)
end

local function may_run(id, f)
  if f.x_stopping and call('ZSCORE', STOPPING, id .. ':' .. f.x_stopping) then return false end
  return live_of(f.x_user) < PER_USER
end

local function described(id, execution, f, attempt, fence)
  return { id, execution, f.data or '', f.x_user, f.x_type or '', f.origin, f.x_created, attempt, fence,
    tonumber(f.x_failures or 0), tonumber(f.x_max_attempts or 1), f.timeout or '', f.result_ttl or '500',
    f.failure_ttl or '31536000' }
end

local function start(id, execution, worker, lease, f)
  local attempt = tonumber(f.x_attempt or 0) + 1
  local fence = int(math.max(now, tonumber(f.x_fence or 0) + 1))
  call('HSET', job_key(id), 'status', 'started', 'x_status', 'started', 'started_at', taken.at, 'last_heartbeat',
    taken.at, 'worker_name', worker, 'x_exec', execution, 'x_attempt', attempt, 'x_fence', fence, 'x_seq', seq(),
    'x_status_seq', seq())
  if f.ttl then call('PERSIST', job_key(id)) end
  local token = id .. ':' .. execution
  taken.ids[#taken.ids + 1] = id
  taken.jobs[#taken.jobs + 1] = described(id, execution, f, attempt, fence)
  append(taken.leases, 1, now + lease, token)
  append(taken.wip, f.origin, math.floor((now + lease) / 1000000) + 120, token)
  append(taken.live, f.x_user, token)
  append(taken.running, 1, f.x_created, id)
  live_count[f.x_user] = live_of(f.x_user) + 1
  changed(id, 'running', seq(), 0, '', f.x_user, f.x_type or '')
end

-- Anything else than a waiting job is dropped from the list: a second entry of a running one, a record that has gone,
-- or a key of another type under a job's name (kept aside for the operator).
local function readable(id)
  local values = redis.pcall('HMGET', job_key(id), unpack(CLAIM_FIELDS))
  if values.err then
    call('SADD', X .. 'damaged', id)
    return nil
  end
  local f = {}
  for n, name in ipairs(CLAIM_FIELDS) do f[name] = values[n] end
  if f.status == 'queued' or (f.status == 'rate_limited' and unmarked[id]) then return f end
  return nil
end

local function take_from(queue, want, worker, execution_prefix, lease)
  local key = queue_key(queue)
  local looked_at = 0
  while #taken.ids < want and looked_at < want + 500 do
    local ids = call('LPOP', key, want - #taken.ids)
    if not ids then return end
    looked_at = looked_at + #ids
    for _, id in ipairs(ids) do
      local f = readable(id)
      if f then
        if not f.x_created then adopt(id, f, queue) end
        if may_run(id, f) then
          start(id, execution_prefix .. string.format('%x', #taken.ids), worker, lease, f)
          unmarked[id] = nil
        else
          park(id, f.x_user)
        end
      end
    end
  end
end

local function write_claims()
  for _, entries in pairs(taken.leases) do many('ZADD', LEASES, entries) end
  for queue, entries in pairs(taken.wip) do many('ZADD', P .. ':wip:' .. queue, entries) end
  for user, tokens in pairs(taken.live) do many('SADD', X .. 'live:' .. user, tokens) end
  many('ZREM', state_key('pending'), taken.ids)
  for _, entries in pairs(taken.running) do many('ZADD', state_key('running'), entries) end
end

-- The jobs of an earlier call whose reply was lost, as far as this worker still holds them.
local function jobs_again(remembered)
  local jobs = {}
  for id, execution in string.gmatch(remembered, '([^ :]+):([^ ]+)') do
    if call('ZSCORE', LEASES, id .. ':' .. execution) then
      local f = fields(id, CLAIM_FIELDS)
      if f.x_user then
        jobs[#jobs + 1] = described(id, execution, f, tonumber(f.x_attempt or 1), f.x_fence)
      end
    end
  end
  return jobs
end

local function remember_claim(worker, lane, number)
  local tokens = {}
  for i = 2, #(taken.leases[1] or {}), 2 do tokens[#tokens + 1] = taken.leases[1][i] end
  call('HSET', X .. 'worker:' .. worker, 'claim:' .. lane, number .. ' ' .. table.concat(tokens, ' '))
end

-- Answers the reason for getting less than wanted: '' none, `empty`, `limit`, `suspended`.
local function take(worker, queues, want, execution_prefix, lease)
  if call('EXISTS', P .. ':suspended') == 1 then return 'suspended' end
  local room = TOTAL - running_now()
  local goal = math.min(want, room)
  taken.at = iso(now)
  if goal > 0 then
    for queue in string.gmatch(queues, '[^,]+') do take_from(queue, goal, worker, execution_prefix, lease) end
    write_claims()
  end
  if #taken.ids >= want then return '' end
  return #taken.ids >= room and 'limit' or 'empty'
end

-- `seen`: what this lane's last claim left, read before anything was written.
local function claim_jobs(worker, lane, number, seen, queues, want, execution_prefix, lease)
  local last, remembered = string.match(seen or '', '^(%d+) ?(.*)$')
  if last and tonumber(last) == number then return '', jobs_again(remembered) end
  if want == 0 then return '', {} end
  local reason = take(worker, queues, want, execution_prefix, lease)
  remember_claim(worker, lane, number)
  return reason, taken.jobs
end

-- Refuses before the first write; answers what the lane's last claim left.
local function check_claim(worker, lane, number)
  if call('EXISTS', P .. ':worker:' .. worker) == 0 then
    return nil, refuse('UNKNOWN_WORKER', 'worker ' .. worker .. ' is not registered')
  end
  local seen = call('HGET', X .. 'worker:' .. worker, 'claim:' .. lane)
  local last = seen and tonumber(string.match(seen, '^%d+'))
  if last and last > number then return nil, refuse('CLAIM_SUPERSEDED', 'claim ' .. number .. ' came after ' .. last) end
  return seen, nil
end
