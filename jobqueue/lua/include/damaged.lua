-- A record with nonsense in it is set aside: it holds nothing any more, says why, and the operator finds it among the damaged.
-- Needs: slots, limits, order, outcome, ends, whole.
-- Exports: bury forget damage_of
local MOST_ASKED = 1000
local MOST_SHOWN = 200
local TIMES = { 'x_due', 'x_order', 'x_expires', 'x_keep' }

-- The first field in which nobody can read what is needed to go on with the job.
function damage_of(id)
  local f = job(id)
  if not f or f.damaged then return f and f.damaged end
  for n, value in ipairs(call('HMGET', job_key(id), unpack(TIMES))) do
    if value and (not string.find(value, '^%d+$') or #value > LONGEST_TIME) then return TIMES[n] end
  end
end

local function tokens_of(id)
  local found, start = {}, id .. ':'
  for _, key in ipairs({ LEASES, STOPPING }) do
    for _, token in ipairs(call('ZRANGE', key, 0, -1)) do
      if string.sub(token, 1, #start) == start then found[#found + 1] = token end
    end
  end
  return found
end

-- All users who have a job that waits or runs, as limiters; of very many the cleanup finds the right one.
local function limiters() return call('SRANDMEMBER', P .. ':rl-keys', MOST_ASKED) end

-- The user and the limiter of a job, and when it was made: whoever has it in his index.
local function owner_of(id, core, limiter)
  local asked = { limiter_of(string.match(core, '^([^\31]*)\31([^\31]*)\31')) or limiter, limiter, '', unpack(limiters()) }
  for _, name in ipairs(asked) do
    local created = call('ZSCORE', X .. 'user:' .. user_of(name), id)
    if created then return name, int(tonumber(created)) end
  end
  return limiter, int(unique_times(1))
end

-- What RQ's own fields and our indexes still tell.
local function rebuilt(id)
  local raw = call('HMGET', job_key(id), 'x_core', 'rate_limit_key', 'origin', 'result_ttl', 'failure_ttl', 'timeout', 'status')
  local f = { max_attempts = '1', max_lost = '3', priority = 'normal', flags = '', type = '' }
  f.limiter, f.created = owner_of(id, raw[1] or '', raw[2] and string.gsub(raw[2], '\31', ' ') or '')
  f.user = user_of(f.limiter)
  f.queue = raw[3] and call('SISMEMBER', P .. ':queues', queue_key(raw[3])) == 1 and raw[3] or 'default'
  f.result_ttl, f.failure_ttl, f.timeout = whole(raw[4], '500'), whole(raw[5], '31536000'), whole(raw[6], '180')
  f.status = raw[7] or ''
  return f
end

local function leave_types(id, user)
  if not SPECIAL then return end
  for _, job_type in ipairs(call('HKEYS', X .. 'types')) do
    if call('SREM', places_key(job_type), id) == 1 then freed.places[job_type] = freed.places[job_type] or {} end
    if user then call('ZREM', line_key(user, job_type), id) end
  end
end

local function leave_limiter(id, tokens, limiter)
  local user = user_of(limiter)
  local held = many('SREM', X .. 'live:' .. user, tokens)
  if held > 0 then freed.users[user] = true end
  call('ZREM', waiting_key(limiter), id)
  if call('ZREM', allowed_key(limiter), id) + held > 0 then freed.allowed[limiter] = freed.allowed[limiter] or {} end
  leave_parked(user, id)
end

local function leave_executions(id)
  local tokens = tokens_of(id)
  for _, token in ipairs(tokens) do
    call('ZREM', LEASES, token)
    call('ZREM', STOPPING, token)
    for _, key in ipairs(call('SMEMBERS', P .. ':queues')) do call('ZREM', P .. ':wip:' .. string.sub(key, #P + 8), token) end
  end
  call('ZREM', DEADLINES, id)
  return tokens
end

-- An id under which there is no record: it holds nobody's place. Whose it was nobody knows, so all are asked.
function forget(id)
  local tokens = leave_executions(id)
  for _, limiter in ipairs(limiters()) do leave_limiter(id, tokens, limiter) end
  leave_types(id)
  give_back()
  mark_queued()
end

local function shown(id, field)
  local value = call('HGET', job_key(id), field)
  return field .. ' ' .. string.sub(value or '', 1, MOST_SHOWN)
end

-- As a record that everybody can read: failed, unless it had ended before.
local function write(id, f, field)
  local ended = ENDED[STATE[f.status]]
  local status, why = ended and f.status or 'failed', 'the record is damaged: ' .. field
  local kept = field ~= 'status' and field ~= 'x_core' and field ~= 'x_run'
  call('HSET', job_key(id), 'x_damaged', shown(id, field), 'x_v', '1', 'origin', f.queue, 'status', status, 'x_mark', mark(status),
    'x_core', pack_core(f), 'x_run', FRESH_RUN, 'x_reason', why)
  call('HDEL', job_key(id), 'x_retry', kept and field or 'x_retry')
  if not ended then call('HSET', job_key(id), 'x_error', why, 'ended_at', iso(now)) end
  local state = STATE[status]
  for _, other in ipairs(STATES) do call('ZREM', state_key(other), id) end
  call('ZADD', state_key(state), f.created, id)
  call('ZADD', X .. 'user:' .. f.user, f.created, id)
  changed(id, state, state == 'completed' and 1 or 0, f.user, f.type)
  if ended then return end
  local ttl = tonumber(f.failure_ttl)
  call('ZADD', P .. ':failed:' .. f.queue, expiry_score(ttl), id)
  expire(id, ttl)
  if call('EXISTS', dependents_key(id)) == 1 then call('ZADD', RELEASES, 'NX', int(now), id) end
end

-- `field`: what is damaged, if it is known. Nothing happens when nothing is found. `popped`: it has left the list.
function bury(id, field, popped)
  if call('TYPE', job_key(id)).ok ~= 'hash' then return forget(id) end
  field = field or damage_of(id)
  if not field then return end
  call('SADD', X .. 'damaged', id)
  local f = rebuilt(id)
  leave_limiter(id, leave_executions(id), f.limiter)
  leave_types(id, f.user)
  for _, registry in ipairs({ 'scheduled', 'deferred' }) do call('ZREM', P .. ':' .. registry .. ':' .. f.queue, id) end
  if not popped then call('LREM', queue_key(f.queue), 0, id) end
  write(id, f, field)
  give_back()
  mark_queued()
end
