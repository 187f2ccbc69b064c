-- Takes up to `want` jobs from the queue lists and gives their leases to a worker.
-- A repeated claim number gets the jobs of the first time (the reply was lost); an older one is refused.
-- `eager`: write RQ's execution records at once.
-- Needs: slots, execution_records, running, release_dependents.
-- Loads: adopt.
-- Exports: claim_jobs check_claim
local taken = { jobs = {}, ids = {}, leases = {}, wip = {}, live = {}, running = {}, tokens = {} }
local live_count = {}

local function live_of(user)
  live_count[user] = live_count[user] or call('SCARD', X .. 'live:' .. user)
  return live_count[user]
end

-- What could not run has left a place to others, who may be taken in the same call.
local has_made_room = false

-- include when needed: aside

-- Jobs that must have started by now. While there is none the claim asks nobody.
local has_overdue
local function is_overdue(id)
  if has_overdue == nil then has_overdue = call('ZCOUNT', DEADLINES, '-inf', now) > 0 end
  local deadline = has_overdue and call('ZSCORE', DEADLINES, id)
  return deadline and tonumber(deadline) <= now
end

-- The old execution of a restarted job may still be stopping; the user may hold all his slots by other ways.
local function may_run(id, user, stopping)
  if stopping ~= NONE and call('ZSCORE', STOPPING, id .. ':' .. stopping) then return false end
  return live_of(user) < user_limit(user)
end

local function readable(id)
  local values = read_fields(id, 'status', 'x_core', 'x_run', 'data')
  local is_waiting = values[1] == 'queued' or values[1] == 'rate_limited' and unmarked[id]
  if is_waiting and string.find(id, '^[%w_-]+$') then return values end
  load_aside()
  return drop(id, values[1])
end

local function start(id, execution, worker, core, run, data)
  local user, _, queue, job_type, created = string.match(core, CORE_HEAD)
  local last, attempt, fence, failures, losses, ran, restarts, stopping = string.match(run, RUN)
  if not user or #created > LONGEST_TIME or not attempt or attempt + failures + losses + restarts > MOST_COUNTED
    or #fence > LONGEST_TIME or #ran > LONGEST_TIME then
    load_aside()
    return set_aside(id)
  end
  -- It runs: a producer has saved an old copy and pushed it again.
  if last ~= NONE and is_in_wip(id .. ':' .. last, queue) then return nil end
  if is_overdue(id) then
    load_aside()
    return come_too_late(id)
  end
  if not may_run(id, user, stopping) then
    load_aside()
    return park(id, user, core)
  end
  if SPECIAL and not takes_place(id, job_type) then
    load_aside()
    return send_back(id, core)
  end
  attempt = attempt + 1
  fence = int(math.max(now, fence + 1))
  call('HSET', job_key(id), 'status', 'started', 'x_run', execution .. ' ' .. attempt .. ' ' .. fence .. ' ' .. failures
    .. ' ' .. losses .. ' ' .. ran .. ' ' .. restarts .. ' -', 'x_mark', mark('started'), 'started_at', taken.at,
    'worker_name', worker)
  if string.byte(core, -1) ~= 31 then call('PERSIST', job_key(id)) end
  local token = id .. ':' .. execution
  taken.ids[#taken.ids + 1] = id
  taken.tokens[#taken.tokens + 1] = token
  taken.jobs[#taken.jobs + 1] = { id, execution, core, attempt, fence, failures, data }
  local leases, running = taken.leases, taken.running
  leases[#leases + 1] = taken.deadline
  leases[#leases + 1] = token
  running[#running + 1] = created
  running[#running + 1] = id
  append(taken.wip, queue, taken.backstop, token)
  append(taken.live, user, token)
  live_count[user] = live_count[user] + 1
  unmarked[id] = nil
  if eager then write_records(worker, id, execution) end
  changed(id, 'running', 0, user, job_type)
end

local function take_from(queue, want, worker, execution_prefix)
  local key = queue_key(queue)
  local looked_at = 0
  while #taken.ids < want and looked_at < want + 500 do
    local ids = call('LPOP', key, want - #taken.ids)
    if not ids then return end
    looked_at = looked_at + #ids
    for _, id in ipairs(ids) do
      local values = readable(id)
      if values then
        if not values[2] then load_adopt() end
        local core = values[2] or pack_core(adopt(id, queue))
        start(id, execution_prefix .. string.format('%x', #taken.ids), worker, core, values[3] or FRESH_RUN, values[4] or '')
      end
    end
  end
end

-- A stock tool has put an ended job back into its list: it stands among the ended ones still, and would expire.
local function leave_other_states()
  for _, state in ipairs({ 'scheduled', 'completed', 'failed', 'cancelled' }) do many('ZREM', state_key(state), taken.ids) end
  for _, id in ipairs(taken.ids) do call('PERSIST', job_key(id)) end
end

local function write_claims(worker, lane, number)
  many('ZADD', LEASES, taken.leases)
  for queue, entries in pairs(taken.wip) do many('ZADD', P .. ':wip:' .. queue, entries) end
  for user, tokens in pairs(taken.live) do many('SADD', X .. 'live:' .. user, tokens) end
  if many('ZREM', state_key('pending'), taken.ids) < #taken.ids then leave_other_states() end
  many('ZADD', state_key('running'), taken.running)
  if #taken.ids > 0 and call('EXISTS', DEADLINES) == 1 then many('ZREM', DEADLINES, taken.ids) end
  call('HSET', X .. 'worker:' .. worker, 'claim:' .. lane, number .. ' ' .. table.concat(taken.tokens, ' '))
end

-- The jobs of an earlier call whose reply was lost, as far as this worker still holds them.
local function jobs_again(remembered)
  local jobs = {}
  for id, execution in string.gmatch(remembered, '([^ :]+):([^ ]+)') do
    local values = call('HMGET', job_key(id), 'x_core', 'x_run', 'data')
    if values[1] and call('ZSCORE', LEASES, id .. ':' .. execution) then
      local _, attempt, fence, failures = string.match(values[2] or '', RUN)
      jobs[#jobs + 1] = { id, execution, values[1], tonumber(attempt), fence, failures, values[3] or '' }
    end
  end
  return jobs
end

-- Answers the reason for getting less than wanted: '' none, `empty`, `limit`, `suspended`, `draining`.
local is_draining
local MOST_ROUNDS = 10
local function take(worker, queues, want, execution_prefix, lease)
  if is_draining then return 'draining' end
  if call('EXISTS', P .. ':suspended') == 1 then return 'suspended' end
  local room = TOTAL - running_now()
  local goal = math.min(want, room)
  if goal > 0 then
    taken.at = iso(now)
    taken.deadline = now + lease
    taken.backstop = math.floor(taken.deadline / 1000000) + 120
    for _ = 1, MOST_ROUNDS do
      has_made_room = false
      for queue in string.gmatch(queues, '[^,]+') do take_from(queue, goal, worker, execution_prefix) end
      if settle_gone then settle_gone() end
      if not has_made_room then break end
      give_back()
    end
  end
  if #taken.ids >= want then return '' end
  return #taken.ids >= room and 'limit' or 'empty'
end

-- `seen`: what this lane's last claim left, read before anything was written.
function claim_jobs(worker, lane, number, seen, queues, want, execution_prefix, lease)
  local last, remembered = string.match(seen or '', '^(%d+) ?(.*)$')
  if last and tonumber(last) == number then return '', jobs_again(remembered) end
  if want == 0 then return '', {} end
  local reason = take(worker, queues, want, execution_prefix, lease)
  write_claims(worker, lane, number)
  release_dependents(MOST_RELEASED)
  give_back()
  return reason, taken.jobs
end

-- Refuses before the first write; answers what the lane's last claim left.
function check_claim(worker, lane, number)
  local key = P .. ':worker:' .. worker
  if call('EXISTS', key) == 0 or call('SISMEMBER', P .. ':workers', key) == 0 then
    return nil, refuse('UNKNOWN_WORKER', 'worker ' .. worker .. ' is not registered')
  end
  local own = call('HMGET', X .. 'worker:' .. worker, 'claim:' .. lane, 'drain')
  local seen = own[1]
  is_draining = own[2]
  local last = seen and tonumber(string.match(seen, '^%d+'))
  if last and last > number then return nil, refuse('CLAIM_SUPERSEDED', 'claim ' .. number .. ' came after ' .. last) end
  return seen, nil
end
