-- Every place where a job must be, by its status, and must not be. Each function answers how much it had to put right.
-- Needs: promotion, dependents, unique, outcome, running.
local LONGEST_LIST = 20000
local PATIENCE = 30000000
local MISSING = X .. 'missing'
local REGISTRY = { finished = 'finished', failed = 'failed', stopped = 'failed', canceled = 'canceled', scheduled = 'scheduled',
  deferred = 'deferred' }

-- An index entry that must be there, or must not; the number of entries that were wrong.
local function there(key, id, wanted, score)
  local found = call('ZSCORE', key, id)
  if found and not wanted then return call('ZREM', key, id) end
  if wanted and not found then return call('ZADD', key, score, id) end
  return 0
end

local function in_index(id, f)
  local wrong = there(X .. 'user:' .. f.user, id, true, f.created)
  for _, state in ipairs(STATES) do
    wrong = wrong + there(state_key(state), id, state == f.state, f.created)
  end
  return wrong
end

local function retention(f)
  return tonumber(f.state == 'completed' and f.result_ttl or f.failure_ttl)
end

local function registry_score(id, f)
  if f.status == 'scheduled' then return (tonumber(f.x_due) or now) / 1000000 end
  if f.status == 'canceled' or f.status == 'deferred' then return clock[1] end
  local left = call('TTL', job_key(id))
  return left < 0 and '+inf' or clock[1] + left
end

local function in_registries(id, f)
  local wrong = 0
  for _, registry in ipairs({ 'finished', 'failed', 'canceled', 'scheduled', 'deferred' }) do
    local wanted = REGISTRY[f.status] == registry
    wrong = wrong + there(P .. ':' .. registry .. ':' .. f.queue, id, wanted, wanted and registry_score(id, f))
  end
  return wrong
end

-- Only what has ended expires.
local function expires(id, f)
  local left = call('TTL', job_key(id))
  local ended = ENDED[f.state]
  if not ended and left >= 0 then return call('PERSIST', job_key(id)) end
  if not ended or left >= 0 or retention(f) < 0 then return 0 end
  expire(id, retention(f))
  return 1
end

-- A stock worker holds a job for a moment in no list at all before its record says so.
local function is_missing_for_long(id)
  if not stock_worker_lives() then return true end
  call('ZADD', MISSING, 'NX', now, id)
  call('EXPIRE', MISSING, 86400)
  return now - call('ZSCORE', MISSING, id) >= PATIENCE
end

-- The ids in a queue's list, and in its intermediate one while somebody lives who may have put them there; read once a
-- call, because each record looks. False when there are too many.
local lists = {}
local function ids_in_list(queue)
  if lists[queue] ~= nil then return lists[queue] end
  lists[queue] = false
  local key = queue_key(queue)
  if call('LLEN', key) > LONGEST_LIST then return false end
  local found = {}
  for _, id in ipairs(call('LRANGE', key, 0, -1)) do found[id] = true end
  if stock_worker_lives() then
    for _, id in ipairs(call('LRANGE', key .. ':intermediate', 0, -1)) do found[id] = true end
  end
  lists[queue] = found
  return found
end

-- The sets that name all queues and limiters: what is not in them is not served.
local function is_known(f)
  local wrong = call('SADD', P .. ':queues', queue_key(f.queue))
  return wrong + (f.limiter and call('SADD', P .. ':rl-keys', f.limiter) or 0)
end

local function score_of(f) return wait_score(f.priority, tonumber(f.x_order or f.created)) end

-- What an admitted job holds, whether it runs or is about to.
local function is_admitted(id, f)
  local wrong = is_known(f) + (f.limiter and there(allowed_key(f.limiter), id, true, score_of(f)) or 0)
  return wrong + (type_limit(f.type) and f.status ~= 'queued' and call('SADD', places_key(f.type), id) or 0)
end

local function in_line(id, f)
  local wrong = is_admitted(id, f)
  if call('ZSCORE', X .. 'parked:' .. f.user, id) then return wrong + call('SADD', X .. 'parked', f.user) end
  local listed = ids_in_list(f.queue)
  if not listed then return wrong end
  if listed[id] then
    call('ZREM', MISSING, id)
  elseif is_missing_for_long(id) then
    call('LREM', queue_key(f.queue) .. ':intermediate', 0, id)
    push(f.queue, id)
    call('ZREM', MISSING, id)
    wrong = wrong + 1
  end
  return wrong
end

-- In one of the user's two lines: a job of a type that has got a limit lately may stand in the general one still.
local function in_users_line(id, f)
  local wrong, general = is_known(f), call('ZSCORE', waiting_key(f.limiter), id)
  if not type_limit(f.type) then return wrong + there(waiting_key(f.limiter), id, true, score_of(f)) end
  local own = call('ZSCORE', line_key(f.user, f.type), id)
  if own and general then return wrong + call('ZREM', waiting_key(f.limiter), id) end
  if general then return wrong end
  wrong = wrong + call('SADD', lines_key(f.user), f.type) + call('ZADD', waiters_key(f.type), 'NX', 0, f.user)
  return wrong + there(line_key(f.user, f.type), id, true, score_of(f))
end

-- A job that waits for others, and whether they still keep it waiting.
local function waits_for_others(id, f)
  local parents, is_lost = parents_of(id, f.dependency_ids)
  local wrong = is_known(f) + many('SADD', parents_key(id), parents)
  if is_lost and #parents > 0 then wrong = wrong + 1 + call('HSET', job_key(id), 'dependency_ids', cjson.encode(parents)) end
  local waiting, broken = look_at_parents(parents, f.allow_dependency_failures == '1', id)
  if broken or #waiting == 0 then
    decide(id)
    return wrong + 1
  end
  for _, parent in ipairs(waiting) do wrong = wrong + call('SADD', dependents_key(parent), id) end
  return wrong
end

-- What is remembered of a job besides its place: by when it must start, and its unique key.
local function keeps_its_word(id, f)
  local wrong = 0
  if f.x_expires and f.fence == '0' and not call('ZSCORE', DEADLINES, id) then
    local since = f.restarts > 0 and f.x_order or math.max(f.created, f.x_due or 0)
    call('ZADD', DEADLINES, int(since + f.x_expires * 1000000), id)
    wrong = wrong + 1
  end
  if f.x_unique and call('HGET', UNIQUE, f.x_unique) ~= id and not holder_of(f.x_unique, id) then
    call('HSET', UNIQUE, f.x_unique, id)
    wrong = wrong + 1
  end
  return wrong
end

local function holds_slots(id, f, token)
  local wrong = call('SADD', X .. 'live:' .. f.user, token)
  return wrong + there(P .. ':wip:' .. f.queue, token, true, clock[1] + 120)
end

-- A running job without a lease was lost by somebody: with one that is over it is rescued like any other.
local function in_leases(id, f)
  if not f.exec then return 0 end
  local token = id .. ':' .. f.exec
  return there(LEASES, token, true, int(now)) + holds_slots(id, f, token) + is_admitted(id, f)
end

-- The execution of a cancelled job; it may have been restarted meanwhile.
local function stops(id, f)
  local token = f.stopping and id .. ':' .. f.stopping
  if not token or not call('ZSCORE', STOPPING, token) then return 0 end
  local wrong = holds_slots(id, f, token)
  if f.state == 'cancelled' then return wrong + is_admitted(id, f) end
  return wrong + (type_limit(f.type) and call('SADD', places_key(f.type), id) or 0)
end

local function in_place(id, f)
  if f.status == 'queued' then return in_line(id, f) end
  if f.status == 'rate_limited' then return f.limiter and in_users_line(id, f) or 0 end
  if f.status == 'started' then return in_leases(id, f) end
  if f.status == 'scheduled' then return is_known(f) end
  return f.status == 'deferred' and waits_for_others(id, f) or 0
end

-- Places of stock jobs are their tools' affair; they are in our index like all others.
local function put_right(id, f)
  local wrong = in_index(id, f)
  if not f.x_digest then return wrong end
  wrong = wrong + in_registries(id, f) + expires(id, f) + in_place(id, f) + stops(id, f)
  return wrong + (ENDED[f.state] and 0 or keeps_its_word(id, f))
end
