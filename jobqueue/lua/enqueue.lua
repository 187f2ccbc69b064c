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
-- include: events
-- include: limits
-- include: states
-- include: admission
-- include: order
-- include when needed: overtake

local SIZE = 9
local answers = {}
local fresh = {}
local first_of = {}
local created_at = iso(now)

-- What the first of two in one batch is answered, the second is too, once it is known.
local function note_twin(first, outcome)
  local answer = { outcome, '', first.answer[3] }
  first.twins = first.twins or {}
  first.twins[#first.twins + 1] = answer
  return answer
end
-- include when needed: options
-- include when needed: once

local may_be_repeated = once ~= '' or schedule_id ~= ''

local function known(id)
  if call('EXISTS', job_key(id)) == 0 then return nil end
  local f = read_fields(id, 'status', 'x_digest', 'x_due', 'x_answer')
  -- As it was answered at first, whatever has become of the job.
  local answered = (f[4] == 'pending' or f[4] == 'scheduled' or f[4] == 'cancelled') and f[4]
  if f[1] then return f[2] or '', answered or (f[3] and 'scheduled' or 'pending') end
  -- Something else than a record has this name: no job can have it.
  if call('TYPE', job_key(id)).ok ~= 'hash' then return '', 'pending' end
  return nil
end

-- The answer to an item that makes no job of its own; nil: it makes one.
local function answer_without_job(entry, user)
  local id, digest = entry.answer[3], entry.digest
  local first = first_of[id]
  if first then return note_twin(first, first.digest == digest and 'exists' or 'conflict') end
  local other, state = known(id)
  if other then return { other == digest and 'exists' or 'conflict', state, id } end
  return entry.rare and answer_by_options(entry, user)
end

local function read_rare(text)
  if text == '' then return nil end
  load_options()
  return cjson.decode(text)
end

local function look_at(i)
  local id = ARGV[i]
  local entry = { at = i, digest = ARGV[i + 7], answer = { 'created', '', id }, rare = read_rare(ARGV[i + 8]) }
  local answer = answer_without_job(entry, ARGV[i + 1])
  if not answer then
    first_of[id] = entry
    fresh[#fresh + 1] = entry
  end
  answers[#answers + 1] = answer or entry.answer
end

local function answer_all()
  if may_be_repeated then remember(unpack(answers[1])) end
  return answers
end

if may_be_repeated then
  load_once()
  local earlier = earlier_answer()
  if earlier then return { earlier } end
end
for i = ITEMS, #ARGV, SIZE do look_at(i) end
if #fresh == 0 then return answer_all() end

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

local function store(entry, created)
  local i, rare = entry.at, entry.rare
  local id, user, job_type, priority, due = ARGV[i], ARGV[i + 1], ARGV[i + 2], ARGV[i + 5], tonumber(ARGV[i + 6])
  if rare and rare.delay then due = now + rare.delay * 1000000 end
  local limiter = 'user:' .. user
  local later = due > now
  local status, reason
  if rare then status, reason = status_by_parents(id, rare) end
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
  if rare then store_options(id, rare, math.max(now, due), state) end
  append(users, user, created, id)
  append(by_state, state, created, id)
  if status == 'scheduled' then call('ZADD', P .. ':scheduled:' .. queue, due / 1000000, id) end
  if status == 'canceled' then end_at_once(id, rare, reason) end
  entry.answer[2] = state
  for _, twin in ipairs(entry.twins or {}) do twin[2] = state end
  changed(id, state, 0, user, job_type)
end

-- Whether those who came into the line change anything for the admitted: a place is free, or they go before.
local function concerns_admitted(limiter, best)
  if SPECIAL or call('ZCARD', allowed_key(limiter)) < limit_of(limiter) then return true end
  local worst = call('ZREVRANGE', allowed_key(limiter), 0, 0, 'WITHSCORES')
  return worst[2] and best < tonumber(worst[2])
end

local function write_lines(limiter, room)
  if #room.allowed == 0 and not room.best then return end
  note_limiter(limiter)
  many('ZADD', allowed_key(limiter), room.allowed)
  many('ZADD', waiting_key(limiter), room.waiting)
  if room.best and concerns_admitted(limiter, room.best) then note_entered(limiter, room.best) end
end

forget_expired()
for n, entry in ipairs(fresh) do store(entry, first + n - 1) end

call('SADD', P .. ':queues', queue_key(queue))
for user, entries in pairs(users) do many('ZADD', X .. 'user:' .. user, entries) end
for state, entries in pairs(by_state) do many('ZADD', state_key(state), entries) end
for limiter, room in pairs(limiters) do write_lines(limiter, room) end
if next(entered) then
  load_overtake()
  admit_entered()
end
flush_pushed()
mark_queued()
publish()
return answer_all()
