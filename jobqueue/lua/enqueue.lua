#!lua
-- Accepts a batch of jobs that share queue, time limit, attempts and retention.
-- Refused as a whole by Redis itself when memory is full; an id that exists is answered, never overwritten.
-- `once`: remembered for a day with the first job given under it; then that job is the answer to every other. '' = none;
-- only for a batch of one.
-- Items: job_id user job_type data description priority due digest
-- Result: one of {`created`|`exists`|`conflict`|`once_conflict`, state, job_id} an item. Emits: pending, scheduled.
local prefix = ARGV[1]
local queue = ARGV[2]
local timeout = ARGV[3]
local max_attempts = ARGV[4]
local max_lost_attempts = ARGV[5]
local result_ttl = ARGV[6]
local failure_ttl = ARGV[7]
local once = ARGV[8]
-- include: base
-- include: events
-- include: limits
-- include: admission
-- include: record
-- include: adopt

local SIZE = 8
local ONCE_SECONDS = 86400
local once_key = X .. 'once:' .. once
local answers = {}
local fresh = {}
local first_of = {}

local function given_before()
  local digest, state, id = string.match(call('GET', once_key) or '', '^(%S+) (%S+) (%S+)$')
  return digest and { digest == ARGV[ITEMS + 7] and 'exists' or 'once_conflict', state, id }
end

local function remember_once()
  if once == '' or answers[1][1] == 'conflict' then return end
  call('SET', once_key, ARGV[ITEMS + 7] .. ' ' .. answers[1][2] .. ' ' .. ARGV[ITEMS], 'EX', ONCE_SECONDS)
end

local function known(id)
  if call('EXISTS', job_key(id)) == 0 then return nil end
  local f = job(id, 'x_digest', 'x_due')
  -- As it was answered at first, whatever has become of the job.
  if f then return f.x_digest or '', f.x_due and 'scheduled' or 'pending' end
  -- Something else than a record has this name: no job can have it.
  if call('TYPE', job_key(id)).ok ~= 'hash' then return '', 'pending' end
  return nil
end

-- The same id twice in one batch: the second gets the first one's answer.
local function note_twin(first, digest)
  local answer = { first.digest == digest and 'exists' or 'conflict', '', first.answer[3] }
  answers[#answers + 1] = answer
  first.twins = first.twins or {}
  first.twins[#first.twins + 1] = answer
end

local earlier = once ~= '' and given_before()
if earlier then return { earlier } end
for i = ITEMS, #ARGV, SIZE do
  local id, digest = ARGV[i], ARGV[i + 7]
  if first_of[id] then
    note_twin(first_of[id], digest)
  else
    local other, state = known(id)
    if other then
      answers[#answers + 1] = { other == digest and 'exists' or 'conflict', state, id }
    else
      answers[#answers + 1] = { 'created', '', id }
      first_of[id] = { at = i, digest = digest, answer = answers[#answers] }
      fresh[#fresh + 1] = first_of[id]
    end
  end
end
if #fresh == 0 then
  remember_once()
  return answers
end

-- The types of the keys that all jobs share, before the first write.
call('LLEN', queue_key(queue))
call('ZCARD', P .. ':scheduled:' .. queue)
call('SCARD', P .. ':queues')
local pending, scheduled, users, limiters = {}, {}, {}, {}
for _, entry in ipairs(fresh) do
  local limiter, priority = 'user:' .. ARGV[entry.at + 1], ARGV[entry.at + 5]
  if not limiters[limiter] then
    limiters[limiter] = {
      places = call('ZCARD', waiting_key(limiter)) == 0 and PER_USER - call('ZCARD', allowed_key(limiter)) or 0,
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

local function admit(id, limiter, priority, created)
  local room = limiters[limiter]
  if room.places > 0 and not room.mixed then
    room.places = room.places - 1
    append(room, 'allowed', clock[1], id)
    push(queue, id)
    return 'queued'
  end
  append(room, 'waiting', wait_score(priority, created), id)
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
  local i = entry.at
  local id, user, job_type, priority, due = ARGV[i], ARGV[i + 1], ARGV[i + 2], ARGV[i + 5], tonumber(ARGV[i + 6])
  local limiter = 'user:' .. user
  local later = due > now
  local status = later and 'scheduled' or admit(id, limiter, priority, created)
  local state = later and 'scheduled' or 'pending'
  local core = table.concat({ user, '+', queue, job_type, int(created), options, priority == 'normal' and '' or priority, '' }, '\31')
  -- What every call looks up comes first: a small hash is searched from its beginning.
  call('HSET', job_key(id), 'status', status, 'x_core', core, 'x_mark', mark(status), 'data', ARGV[i + 3],
    'origin', queue, 'timeout', timeout, 'created_at', created_at, 'result_ttl', result_ttl, 'failure_ttl', failure_ttl,
    'rate_limit_key', limiter, 'rate_limit_concurrency', PER_USER, 'description', ARGV[i + 4], 'x_v', '1',
    'x_digest', ARGV[i + 7], unpack(status == 'queued' and { 'enqueued_at', created_at } or later and { 'x_due', int(due) } or {}))
  append(users, user, created, id)
  if later then
    call('ZADD', P .. ':scheduled:' .. queue, due / 1000000, id)
    append(scheduled, 1, created, id)
  else
    append(pending, 1, created, id)
  end
  entry.answer[2] = state
  for _, twin in ipairs(entry.twins or {}) do twin[2] = state end
  changed(id, state, 0, user, job_type)
end

forget_expired()
for n, entry in ipairs(fresh) do store(entry, first + n - 1) end

call('SADD', P .. ':queues', queue_key(queue))
for user, entries in pairs(users) do many('ZADD', X .. 'user:' .. user, entries) end
for _, entries in pairs(pending) do many('ZADD', state_key('pending'), entries) end
for _, entries in pairs(scheduled) do many('ZADD', state_key('scheduled'), entries) end
for limiter, room in pairs(limiters) do
  if #room.allowed + #room.waiting > 0 then
    call('SADD', P .. ':rl-keys', limiter)
    call('HSET', P .. ':rl:' .. limiter, 'concurrency', PER_USER)
    many('ZADD', allowed_key(limiter), room.allowed)
    many('ZADD', waiting_key(limiter), room.waiting)
    if #room.waiting > 0 then promote(limiter) end
  end
end
flush_pushed()
mark_queued()
remember_once()
publish()
return answers
