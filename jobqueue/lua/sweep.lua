#!lua flags=allow-oom
-- Repairs what no transition sees: jobs of stock producers join our index, what stock workers did to jobs is told, and
-- users get the places that a raised limit or a stock tool left free. Looks at `batch` users, and at the newest entries of
-- each queue and registry, of 16 queues a call.
-- Result: { adopted, cursor, chores }; pass the cursor to the next call, 0 = the round is complete. `chores`: names of the
-- scripts that have something to do. Emits: all states.
local prefix = ARGV[1]
local interval = tonumber(ARGV[2])
local cursor = ARGV[3]
local batch = tonumber(ARGV[4])
-- include: throttle
-- include: adopt
-- include: release_dependents
-- include: follow
-- include: running
-- include: sound

local adopted = 0

local function meet(id, queue)
  local values = read_fields(id, 'status', 'x_core', 'x_mark', 'x_run')
  local status, core, run = values[1], values[2], values[4]
  if not status then return end
  local last = string.match(values[3] or '', '^(%S+) %d+ %d+$')
  if not STATE[status] or core and not (last and string.find(core, CORE_HEAD)) or run and not string.find(run, RUN) then
    local f = sound_job(id)
    if f.created and not f.last then call('HSET', job_key(id), 'x_mark', mark(f.status)) end
  elseif not core then
    adopt(id, queue)
    adopted = adopted + 1
  elseif differs(status, last) then
    follow(id)
  end
end

local function meet_all(queue)
  -- Producers push at the tail: from there back, as long as a page has jobs that are new to us.
  local last = -1
  repeat
    local before = adopted
    for _, id in ipairs(call('LRANGE', queue_key(queue), last - batch + 1, last)) do meet(id, queue) end
    last = last - batch
  until adopted == before or adopted >= 10 * batch
  for _, registry in ipairs({ 'finished', 'failed', 'canceled', 'scheduled', 'deferred' }) do
    for _, id in ipairs(call('ZREVRANGE', P .. ':' .. registry .. ':' .. queue, 0, batch - 1)) do meet(id, queue) end
  end
  for _, token in ipairs(call('ZREVRANGE', P .. ':wip:' .. queue, 0, batch - 1)) do
    meet(string.match(token, '^(.*):[^:]*$') or token, queue)
  end
end

-- With few queues all of them each time, with many in turns.
local MOST_QUEUES = 16
local function queues_in_turn()
  local queues = call('SMEMBERS', P .. ':queues')
  if #queues <= MOST_QUEUES then return queues end
  table.sort(queues)
  local first, turn = tonumber(call('HGET', META, 'sweep_queue') or 0), {}
  for n = 1, MOST_QUEUES do turn[n] = queues[(first + n - 1) % #queues + 1] end
  call('HSET', META, 'sweep_queue', (first + MOST_QUEUES) % #queues)
  return turn
end

local function chores()
  local found = {}
  if call('EXISTS', RELEASES) == 1 then found[#found + 1] = 'release' end
  if call('ZCOUNT', DEADLINES, '-inf', int(now)) > 0 then found[#found + 1] = 'expire' end
  if call('EXISTS', X .. 'unsorted') == 1 then found[#found + 1] = 'sort_lines' end
  return found
end

if too_soon('sweep_throttle', interval) then return { 0, cursor, {} } end
for _, key in ipairs(queues_in_turn()) do meet_all(string.sub(key, #P + 8)) end
for _, user in ipairs(call('SRANDMEMBER', X .. 'parked', batch)) do unpark(user) end
local page = call('SSCAN', P .. ':rl-keys', cursor, 'COUNT', batch)
for _, limiter in ipairs(page[2]) do
  for _, id in ipairs(call('ZRANGE', waiting_key(limiter), -batch, -1)) do meet(id, 'default') end
  promote(limiter)
  drop_if_idle(limiter)
end
if SPECIAL then
  for _, job_type in ipairs(call('HKEYS', X .. 'types')) do promote_type(job_type) end
end
release_dependents(MOST_RELEASED)
give_back()
mark_queued()
if running_now() < TOTAL then call('PUBLISH', X .. 'wake', '1') end
publish()
return { adopted, page[1], chores() }
