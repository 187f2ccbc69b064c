-- The end of an execution gives back everything that it held, and lets the next jobs of its user in.
-- Needs: promotion, record.
local function nothing() return { leases = {}, stopping = {}, wip = {}, live = {}, allowed = {}, places = {}, users = {} } end
local freed = nothing()

local function remember(name, id, job_type)
  append(freed.allowed, name, id)
  if type_limit(job_type) then append(freed.places, job_type, id) end
end

-- Indexes are written together, by `give_back`.
local function free_slot(id, token, user, limiter, queue, job_type)
  freed.leases[#freed.leases + 1] = token
  append(freed.wip, queue, token)
  append(freed.live, user, token)
  if limiter then remember(limiter, id, job_type) end
  freed.users[user] = true
end

-- The execution of a cancelled job. When the job was restarted meanwhile it may have a new place in line, not to be given back.
local function free_stopping(id, token, f)
  freed.stopping[#freed.stopping + 1] = token
  append(freed.wip, f.queue, token)
  append(freed.live, f.user, token)
  if f.limiter and f.state == 'cancelled' then
    remember(f.limiter, id, f.type)
  elseif type_limit(f.type) and f.status ~= 'queued' then
    append(freed.places, f.type, id)
  end
  freed.users[f.user] = true
  f.stopping = nil
  call('HSET', job_key(id), 'x_run', pack_run(f))
end

-- It stays among the admitted, as RQ lets a job that runs again at once. Right after `free_slot`.
local function keep_admitted(limiter, id)
  local ids = freed.allowed[limiter]
  if ids and ids[#ids] == id then ids[#ids] = nil end
end
-- include when needed: overtake
-- Seldom: otherwise nobody has come who could stand before others.
local function settle_lines()
  if next(entered) then
    load_overtake()
    admit_entered()
  end
  flush_pushed()
end

local function give_back()
  many('ZREM', LEASES, freed.leases)
  many('ZREM', STOPPING, freed.stopping)
  for queue, tokens in pairs(freed.wip) do many('ZREM', P .. ':wip:' .. queue, tokens) end
  for user, tokens in pairs(freed.live) do many('SREM', X .. 'live:' .. user, tokens) end
  for limiter, ids in pairs(freed.allowed) do many('ZREM', allowed_key(limiter), ids) end
  for job_type, ids in pairs(freed.places) do many('SREM', places_key(job_type), ids) end
  for user in pairs(freed.users) do unpark(user) end
  -- Users take turns at the places of a type: whoever had this one comes last.
  for job_type in pairs(freed.places) do promote_type(job_type) end
  for limiter in pairs(freed.allowed) do
    promote(limiter)
    drop_if_idle(limiter)
  end
  freed = nothing()
  settle_lines()
end
