-- Records what became of executions and frees their slots. Items: kind job_id execution_id value error permanent.
-- An execution that lost its lease changes nothing: `stale`, or its old verdict when it had finished before.
-- Needs: slots, outcome, times, execution_records, release_dependents.
-- Loads: requeue, failures, unleased.
-- Exports: finish_jobs
local OUTCOME_SIZE = 6
local GONE_SECONDS = 60
local finished = { ids = {}, completed = {}, registry = {}, gone = {}, good = 0, bad = 0, busy = 0 }

local function complete(id, execution, worker, value, user, queue, job_type, created, fence, ttl)
  call('HSET', job_key(id), 'status', 'finished', 'x_mark', mark('finished'), 'ended_at', finished.at)
  add_result(id, 1, worker, execution, fence, value)
  if ttl == 0 then finished.gone[id] = { user, queue } else expire(id, ttl) end
  append(finished.registry, queue, expiry_score(ttl), id)
  local list = finished.completed
  list[#list + 1] = created
  list[#list + 1] = id
  finished.ids[#finished.ids + 1] = id
  changed(id, 'completed', 1, user, job_type)
  note_end(id)
end

local function settle(i, token, leased, worker)
  local kind, id, execution = ARGV[i], ARGV[i + 1], ARGV[i + 2]
  if not leased then
    load_unleased()
    return settle_unleased(id, token, execution)
  end
  local values = read_fields(id, 'status', 'x_core', 'x_run', 'x_records')
  local user, limiter, queue, job_type, created, ttl = string.match(values[2] or '', CORE_HEAD)
  local holder, _, fence = string.match(values[3] or '', RUN)
  -- Whatever is rare needs all of the record.
  local f = (kind ~= 'completed' or values[1] ~= 'started') and job(id)
  if not user or holder ~= execution or #created > LONGEST_TIME or f and not (f.created and f.attempt) then
    load_unleased()
    return settle_odd(id, token)
  end
  free_slot(id, token, user, limiter_of(user, limiter), queue, job_type)
  local ran = now - fence
  finished.busy = finished.busy + math.max(0, ran)
  if values[4] then forget_records(worker, id, execution) end
  -- An earlier call has failed half-way, at a key of another type.
  if f and (f.last == 'finished' or f.last == 'failed') then return 'ok' end
  if values[1] == 'canceled' or values[1] == 'stopped' then
    load_unleased()
    settle_foreign_cancel(id)
    return 'cancelled'
  elseif kind == 'completed' then
    finished.good = finished.good + 1
    note_time(job_type, ran)
    if string.byte(values[2], -1) == REPEATS then
      load_failures()
      if repeats(id, execution, worker, ARGV[i + 3]) then return 'ok' end
    end
    complete(id, execution, worker, ARGV[i + 3], user, queue, job_type, created, fence, tonumber(ttl))
  elseif kind == 'released' or kind == 'stopped' then
    load_requeue()
    requeue(id, job(id), 0, 'interrupted')
  else
    finished.bad = finished.bad + 1
    load_failures()
    settle_bad(kind, id, execution, worker, ARGV[i + 3], ARGV[i + 4], ARGV[i + 5])
  end
  return 'ok'
end

local function write_registries()
  many('ZREM', state_key('running'), finished.ids)
  many('ZADD', state_key('completed'), finished.completed)
  for queue, entries in pairs(finished.registry) do many('ZADD', P .. ':finished:' .. queue, entries) end
  for id, owner in pairs(finished.gone) do
    -- Somebody waits for it: until he has been looked at there is something to look at.
    if call('EXISTS', dependents_key(id)) == 1 then expire(id, GONE_SECONDS) else delete_job(id, owner[1], owner[2]) end
  end
end

local function count_for_worker(worker)
  local key = P .. ':worker:' .. worker
  if finished.good + finished.bad == 0 or call('EXISTS', key) == 0 then return end
  -- What else may stand there must not keep an outcome from being told.
  if finished.good > 0 then redis.pcall('HINCRBY', key, 'successful_job_count', finished.good) end
  if finished.bad > 0 then redis.pcall('HINCRBY', key, 'failed_job_count', finished.bad) end
  redis.pcall('HINCRBYFLOAT', key, 'total_working_time', seconds(finished.busy))
end

function finish_jobs(worker, first)
  local tokens = {}
  for i = first, #ARGV, OUTCOME_SIZE do tokens[#tokens + 1] = ARGV[i + 1] .. ':' .. ARGV[i + 2] end
  if #tokens == 0 then return tokens end
  local leased = call('ZMSCORE', LEASES, unpack(tokens))
  local verdicts = {}
  finished.at = iso(now)
  for n, token in ipairs(tokens) do
    verdicts[n] = settle(first + (n - 1) * OUTCOME_SIZE, token, leased[n], worker)
  end
  write_registries()
  if purge_ownerless then purge_ownerless() end
  write_times()
  release_dependents(MOST_RELEASED)
  give_back()
  count_for_worker(worker)
  return verdicts
end
