-- Executions that have lost their lease or their record, or were cancelled by others than us.
-- Needs: slots, ends, fraction.
-- Loads: damaged.
-- Exports: settle_odd purge_token purge_id purge_ownerless settle_unleased settle_foreign_cancel
-- A record deleted by a stock tool while its job ran. One that has come under the same id since then is another job's and
-- is left alone.
local ownerless = { tokens = {}, ids = {} }

function purge_token(token, id)
  call('ZREM', LEASES, token)
  call('ZREM', STOPPING, token)
  ownerless.tokens[#ownerless.tokens + 1] = token
  if call('TYPE', job_key(id)).ok == 'hash' then return end
  for _, state in ipairs({ 'running', 'cancelled' }) do call('ZREM', state_key(state), id) end
  ownerless.ids[#ownerless.ids + 1] = id
end

-- An id in a list without a record: it has a place no more.
function purge_id(id)
  call('ZREM', state_key('pending'), id)
  ownerless.ids[#ownerless.ids + 1] = id
end

-- Nobody remembers whose they were, so users are asked, once a call; of very many the cleanup finds the right one.
local MOST_ASKED = 1000

function purge_ownerless()
  local tokens, ids = ownerless.tokens, ownerless.ids
  if #tokens + #ids == 0 then return end
  ownerless = { tokens = {}, ids = {} }
  for _, key in ipairs(call('SMEMBERS', P .. ':queues')) do many('ZREM', P .. ':wip:' .. string.sub(key, #P + 8), tokens) end
  if many('SREM', X .. 'live:default_user', tokens) > 0 then freed.users.default_user = true end
  for _, limiter in ipairs(call('SRANDMEMBER', P .. ':rl-keys', MOST_ASKED)) do
    local user = string.sub(limiter, 1, 5) == 'user:' and string.sub(limiter, 6) or limiter
    if many('SREM', X .. 'live:' .. user, tokens) > 0 then freed.users[user] = true end
    many('ZREM', X .. 'user:' .. user, ids)
    if many('ZREM', allowed_key(limiter), ids) > 0 then freed.allowed[limiter] = freed.allowed[limiter] or {} end
  end
  for _, job_type in ipairs(SPECIAL and call('HKEYS', X .. 'types') or {}) do
    if many('SREM', places_key(job_type), ids) > 0 then freed.places[job_type] = freed.places[job_type] or {} end
  end
end

-- The record is not what the execution wrote: nobody can read it, or a stock tool deleted it while the job ran, and the id
-- may belong to another job by now.
function settle_odd(id, token)
  local f = job(id)
  if f and (f.damaged == 'x_core' or f.damaged == 'x_run') then
    load_damaged()
    bury(id)
  else
    purge_token(token, id)
  end
  return 'stale'
end

-- Cancelled by a tool that knows nothing of leases: its word stands, our index follows.
function settle_foreign_cancel(id)
  local f = job(id)
  call('HSET', job_key(id), 'x_mark', mark(f.status))
  move_state(id, 'running', 'cancelled', f.created)
  changed(id, 'cancelled', fraction(call('HGET', job_key(id), 'x_progress')), f.user, f.type)
  note_end(id)
end

-- The execution has no lease: it was cancelled and stops now, or it has finished before, or it has lost the job.
function settle_unleased(id, token, execution)
  local f = job(id)
  if call('ZSCORE', STOPPING, token) then
    if not f or f.damaged then
      purge_token(token, id)
      return 'stale'
    end
    free_stopping(id, token, f)
    return 'cancelled'
  end
  if not f or f.exec ~= execution or f.last == 'started' then return 'stale' end
  return f.last == 'canceled' and 'cancelled' or 'ok'
end
