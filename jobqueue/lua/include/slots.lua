-- The end of an execution gives back everything that it held, and lets the next jobs of its user in.
-- Needs: base, limits, admission.
local freed = { leases = {}, stopping = {}, wip = {}, live = {}, allowed = {}, users = {}, count = 0 }

local function remember(name, id) append(freed.allowed, name, id) end

-- `f`: the record's origin, x_user, rate_limit_key, x_status. Nothing is written before `give_back`.
local function free_slot(id, token, f, stopping)
  append(freed, stopping and 'stopping' or 'leases', token)
  append(freed.wip, f.origin, token)
  append(freed.live, f.x_user, token)
  -- A cancelled job that was restarted meanwhile has a new place in line, which is not this execution's to give back.
  local restarted = stopping and f.x_status ~= 'canceled'
  if f.rate_limit_key and not restarted then remember(f.rate_limit_key, id) end
  freed.users[f.x_user] = true
  freed.count = freed.count + 1
end

-- A slot in the user's admission only: of a job that was waiting in the queue list.
local function free_place(id, f)
  if f.rate_limit_key then remember(f.rate_limit_key, id) end
end

local function give_back()
  many('ZREM', LEASES, freed.leases)
  many('ZREM', STOPPING, freed.stopping)
  for queue, tokens in pairs(freed.wip) do many('ZREM', P .. ':wip:' .. queue, tokens) end
  for user, tokens in pairs(freed.live) do many('SREM', X .. 'live:' .. user, tokens) end
  for limiter, ids in pairs(freed.allowed) do many('ZREM', allowed_key(limiter), ids) end
  for user in pairs(freed.users) do unpark(user) end
  for limiter in pairs(freed.allowed) do
    promote(limiter)
    drop_if_idle(limiter)
  end
end

local function forget_records(worker, id, execution)
  call('DEL', P .. ':execution:' .. id .. ':' .. execution)
  call('ZREM', P .. ':executions:' .. id, execution)
  if worker then call('SREM', P .. ':worker:' .. worker .. ':executions', id .. ':' .. execution) end
end
