#!lua
-- Accepts a batch of jobs that share queue, time limit, attempts and retention.
-- Refused as a whole by Redis itself when memory is full; an id that exists is answered, never overwritten.
-- `once`: remembered for a day with the first job given under it; then that job is the answer to every other. '' = none.
-- `schedule_id`: the job is made by a schedule, whose tick must still be `tick`; its next one is `following` ('' = none).
-- Microseconds; '' = no schedule. Both are only for a batch of one.
-- `rare`: what few jobs have, a JSON object or '': `parents` (ids), `anyway` (a parent's failure is no hindrance), `unique`
-- (token of a unique key), `delay` (seconds, instead of `due`), `expires` (seconds after that), `backoff` ("first most",
-- seconds), `intervals` (the same for RQ), `schedule` (id of the one that made it), `keep` (seconds that the record is kept
-- when the job ends without having run).
-- Items: job_id user job_type data description priority due digest rare
-- Result: one of {`created`|`exists`|`conflict`|`once_conflict`|`superseded`|`no_dependency`, state, job_id} an item; with
-- no_dependency the id is the parent's that there is not. Emits: pending, scheduled, cancelled.
local prefix = ARGV[1]
local queue = ARGV[2]
local timeout = ARGV[3]
local max_attempts = ARGV[4]
local max_lost_attempts = ARGV[5]
local result_ttl = ARGV[6]
local failure_ttl = ARGV[7]
local once = ARGV[8]
local schedule_id = ARGV[9]
local tick = tonumber(ARGV[10])
local following = ARGV[11]
-- include: base
-- include: events
-- include: limits
-- include when needed: types
-- include: record
-- include: admission
-- include: overtake
-- include: adopt
-- include when needed: dependents
-- include when needed: unique

if SPECIAL then load_types() end
local SIZE = 9
local ONCE_SECONDS = 86400
local once_key = X .. 'once:' .. once
local answers = {}
local fresh = {}
local first_of = {}
local first_with = {}

local function given_before()
  local digest, state, id = string.match(call('GET', once_key) or '', '^(%S+) (%S+) (%S+)$')
  return digest and { digest == ARGV[ITEMS + 7] and 'exists' or 'once_conflict', state, id }
end

local function remember_once()
  if once == '' or answers[1][1] ~= 'created' and answers[1][1] ~= 'exists' then return end
  call('SET', once_key, ARGV[ITEMS + 7] .. ' ' .. answers[1][2] .. ' ' .. answers[1][3], 'EX', ONCE_SECONDS)
end

local function known(id)
  if call('EXISTS', job_key(id)) == 0 then return nil end
  local f = job(id, 'x_digest', 'x_due', 'x_answer')
  -- As it was answered at first, whatever has become of the job.
  if f then return f.x_digest or '', f.x_answer or (f.x_due and 'scheduled' or 'pending') end
  -- Something else than a record has this name: no job can have it.
  if call('TYPE', job_key(id)).ok ~= 'hash' then return '', 'pending' end
  return nil
end

-- What the first of two in one batch is answered, the second is too, once it is known.
local function note_twin(first, outcome)
  local answer = { outcome, '', first.answer[3] }
  first.twins = first.twins or {}
  first.twins[#first.twins + 1] = answer
  return answer
end

-- The first parent that there is not, or that is somebody else's.
local function unknown_parent(user, parents)
  for _, parent in ipairs(parents) do
    local first = first_of[parent]
    local f = not first and job(parent, 'rate_limit_key')
    local owner = first and ARGV[first.at + 1] or f and (f.user or user_of(f.rate_limit_key))
    if owner ~= user then return parent end
  end
end

local NOTHING_RARE = {}

-- The answer to an item that makes no job of its own; nil: it makes one.
local function answer_without_job(id, digest, user, rare)
  local first = first_of[id]
  if first then return note_twin(first, first.digest == digest and 'exists' or 'conflict') end
  local other, state = known(id)
  if other then return { other == digest and 'exists' or 'conflict', state, id } end
  if rare == NOTHING_RARE then return nil end
  if rare.unique then
    if first_with[rare.unique] then return note_twin(first_with[rare.unique], 'exists') end
    local holder, its_state = holder_of(rare.unique, id)
    if holder then return { 'exists', its_state, holder } end
  end
  local parent = rare.parents and unknown_parent(user, rare.parents)
  return parent and { 'no_dependency', '', parent }
end

local function read_rare(text)
  if text == '' then return NOTHING_RARE end
  if not look_at_parents then
    load_dependents()
    load_unique()
    -- The type of a key that is written later, before the first write.
    call('ZCARD', P .. ':deferred:' .. queue)
  end
  return cjson.decode(text)
end

local function look_at(i)
  local id, digest = ARGV[i], ARGV[i + 7]
  local rare = read_rare(ARGV[i + 8])
  local answer = answer_without_job(id, digest, ARGV[i + 1], rare)
  if not answer then
    answer = { 'created', '', id }
    local entry = { at = i, digest = digest, answer = answer, rare = rare }
    first_of[id] = entry
    if rare.unique then first_with[rare.unique] = entry end
    fresh[#fresh + 1] = entry
  end
  answers[#answers + 1] = answer
end

local function is_superseded()
  return schedule_id ~= '' and tonumber(call('ZSCORE', X .. 'ticks', schedule_id) or 0) ~= tick
end

-- The tick of a schedule is over, whether its job is new or has existed before; a refusal leaves it to the caller.
local function advance_schedule()
  local outcome = answers[1][1]
  if schedule_id == '' or outcome ~= 'created' and outcome ~= 'exists' then return end
  if following == '' then call('ZREM', X .. 'ticks', schedule_id) else call('ZADD', X .. 'ticks', following, schedule_id) end
  local key = X .. 'schedule:' .. schedule_id
  call('HSET', key, 'last_tick', int(tick), 'last_fired_at', int(now), 'last_job_id', answers[1][3])
  if outcome == 'created' then call('HINCRBY', key, 'runs', 1) end
  call('HDEL', key, 'error')
end

if is_superseded() then return { { 'superseded', '', '' } } end
local earlier = once ~= '' and given_before()
if earlier then return { earlier } end
for i = ITEMS, #ARGV, SIZE do look_at(i) end
if #fresh == 0 then
  remember_once()
  advance_schedule()
  return answers
end

-- The types of the keys that all jobs share, before the first write.
call('LLEN', queue_key(queue))
call('ZCARD', P .. ':scheduled:' .. queue)
call('SCARD', P .. ':queues')
local by_state, users, limiters = { pending = {}, scheduled = {}, cancelled = {} }, {}, {}
for _, entry in ipairs(fresh) do
  local limiter, priority = 'user:' .. ARGV[entry.at + 1], ARGV[entry.at + 5]
  if not limiters[limiter] then
    limiters[limiter] = {
      places = call('ZCARD', waiting_key(limiter)) == 0 and limit_of(limiter) - call('ZCARD', allowed_key(limiter)) or 0,
      allowed = {}, waiting = {}, priority = priority,
    }
    call('ZCARD', X .. 'user:' .. ARGV[entry.at + 1])
  end
  -- Jobs of several priorities compete for the free places, so all of them wait and the best are let in at the end.
  if limiters[limiter].priority ~= priority then limiters[limiter].mixed = true end
end

local created_at = iso(now)
local options = table.concat({ result_ttl, failure_ttl, max_attempts, max_lost_attempts, timeout }, '\31')
local first = unique_times(#fresh)

local function admit_or_wait(id, limiter, job_type, score)
  local room = limiters[limiter]
  if type_limit(job_type) then
    wait(limiter, job_type, id, score)
  elseif room.places > 0 and not room.mixed then
    room.places = room.places - 1
    append(room, 'allowed', score, id)
    push(queue, id)
    return 'queued'
  else
    append(room, 'waiting', score, id)
  end
  room.best = math.min(score, room.best or math.huge)
  return 'rate_limited'
end

-- An id whose record has expired may still stand in the indexes of ended jobs until the cleanup comes by.
local function forget_expired()
  local ids = {}
  for n, entry in ipairs(fresh) do ids[n] = ARGV[entry.at] end
  local found = 0
  for _, state in ipairs({ 'completed', 'failed', 'cancelled' }) do found = found + many('ZREM', state_key(state), ids) end
  if found == 0 then return end
  for _, registry in ipairs({ 'finished', 'failed', 'canceled' }) do
    many('ZREM', P .. ':' .. registry .. ':' .. queue, ids)
  end
end

-- Options that few jobs have, as fields of the record. `start`: microseconds, before which it cannot start.
local function rare_fields(id, rare, start)
  local fields = {}
  local function set(name, value)
    fields[#fields + 1] = name
    fields[#fields + 1] = value
  end
  if rare.backoff then
    set('x_backoff', rare.backoff)
    set('retries_left', max_attempts - 1)
    set('retry_intervals', rare.intervals)
  end
  if rare.keep then set('x_keep', rare.keep) end
  if rare.unique then
    set('x_unique', rare.unique)
    call('HSET', UNIQUE, rare.unique, id)
  end
  if rare.expires then
    set('x_expires', rare.expires)
    call('ZADD', DEADLINES, int(start + rare.expires * 1000000), id)
  end
  if rare.parents then
    set('dependency_ids', cjson.encode(rare.parents))
    set('dependency_id', rare.parents[1])
    set('allow_dependency_failures', rare.anyway and '1' or '0')
    many('SADD', parents_key(id), rare.parents)
    for _, parent in ipairs(rare.parents) do note_dependent(parent, id) end
  end
  if rare.schedule then set('x_schedule', rare.schedule) end
  if #fields > 0 then call('HSET', job_key(id), unpack(fields)) end
end

-- The first status of a job that depends on others; nil when nothing keeps it.
local function status_by_parents(id, rare)
  local waiting, broken = look_at_parents(rare.parents, rare.anyway, id)
  if broken then return 'canceled', broken_text(broken) end
  if #waiting == 0 then return nil end
  defer(id, queue, waiting)
  return 'deferred'
end

local function end_at_once(id, rare, reason)
  call('HSET', job_key(id), 'ended_at', created_at, 'x_reason', reason)
  call('EXPIRE', job_key(id), rare.keep)
  call('ZADD', P .. ':canceled:' .. queue, clock[1], id)
  call('ZREM', DEADLINES, id)
end

local function store(entry, created)
  local i, rare = entry.at, entry.rare
  local id, user, job_type, priority, due = ARGV[i], ARGV[i + 1], ARGV[i + 2], ARGV[i + 5], tonumber(ARGV[i + 6])
  if rare.delay then due = now + rare.delay * 1000000 end
  local limiter = 'user:' .. user
  local later = due > now
  local status, reason
  if rare.parents then status, reason = status_by_parents(id, rare) end
  if not status then
    status = later and 'scheduled' or admit_or_wait(id, limiter, job_type, wait_score(priority, created))
  end
  local state = STATE[status]
  local core = table.concat({ user, '+', queue, job_type, int(created), options, priority == 'normal' and '' or priority, '' }, '\31')
  -- What every call looks up comes first: a small hash is searched from its beginning.
  call('HSET', job_key(id), 'status', status, 'x_core', core, 'x_mark', mark(status), 'data', ARGV[i + 3],
    'origin', queue, 'timeout', timeout, 'created_at', created_at, 'result_ttl', result_ttl, 'failure_ttl', failure_ttl,
    'rate_limit_key', limiter, 'rate_limit_concurrency', PER_USER, 'description', ARGV[i + 4], 'x_v', '1',
    'x_digest', ARGV[i + 7], unpack(status == 'queued' and { 'enqueued_at', created_at } or later and { 'x_due', int(due) } or {}))
  if rare ~= NOTHING_RARE then rare_fields(id, rare, math.max(now, due)) end
  if rare.parents then call('HSET', job_key(id), 'x_answer', state) end
  append(users, user, created, id)
  append(by_state, state, created, id)
  if status == 'scheduled' then call('ZADD', P .. ':scheduled:' .. queue, due / 1000000, id) end
  if status == 'canceled' then end_at_once(id, rare, reason) end
  entry.answer[2] = state
  for _, twin in ipairs(entry.twins or {}) do twin[2] = state end
  changed(id, state, 0, user, job_type)
end

forget_expired()
for n, entry in ipairs(fresh) do store(entry, first + n - 1) end

call('SADD', P .. ':queues', queue_key(queue))
for user, entries in pairs(users) do many('ZADD', X .. 'user:' .. user, entries) end
for state, entries in pairs(by_state) do many('ZADD', state_key(state), entries) end
for limiter, room in pairs(limiters) do
  if #room.allowed > 0 or room.best then
    note_limiter(limiter)
    many('ZADD', allowed_key(limiter), room.allowed)
    many('ZADD', waiting_key(limiter), room.waiting)
    if room.best then note_entered(limiter, room.best) end
  end
end
admit_entered()
mark_queued()
remember_once()
advance_schedule()
publish()
return answers
