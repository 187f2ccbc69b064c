-- When a job ends its dependents are looked at: some in the same call, the others by the tick. Judged by the records of
-- all their parents, so an event that comes twice or never does no harm.
-- Needs: parents, enter_line, adopt, call_off.
-- Loads: damaged.
-- Exports: release release_each decide
-- Those that go on waiting for a parent that has ended, until all others have been looked at.
local function kept_key(id) return X .. 'kept:' .. id end

local function place_of(id, ids)
  for n, other in ipairs(ids) do
    if other == id then return n end
  end
  return 1
end

-- The first parent, from the one that has ended on, that keeps a job waiting or ended badly, and how many were looked at.
-- More is not asked: the end of each of the others brings the question again. Most end in the order in which they are named.
local function look_on(parents, anyway, child, ended_one)
  local start = place_of(ended_one, parents)
  for n = 0, #parents - 1 do
    local id = parents[(start + n - 1) % #parents + 1]
    local state = end_of(id, child, ended_one)
    local waits, badly = meaning(state, anyway)
    if waits then return id, nil, n + 1 end
    if badly then return nil, { id, state }, n + 1 end
  end
  return nil, nil, #parents
end

local function moment(text, id) return tonumber(string.match(text, '^%d+$') or error('no time in the record of ' .. id)) end

local function go_on(id, f)
  local due, order = moment(f.x_due or '0', id), moment(f.x_order or f.created, id)
  call('ZREM', P .. ':deferred:' .. f.queue, id)
  if due > now then return schedule(id, f, due) end
  -- Its place is that of its creation (or restart): it has waited all the time.
  enter_line(id, f, math.max(due, order))
  changed(id, 'pending', 0, f.user, f.type, f.status_seq)
end

-- A deferred job, one of whose parents (`ended_one`) has ended. Jobs of stock producers whose parent failed go on waiting,
-- as RQ lets them. The number of parents looked at.
function decide(id, ended_one)
  local f = job(id, 'allow_dependency_failures', 'x_due', 'x_digest', 'x_order', 'origin', 'dependency_ids')
  if not f or f.status ~= 'deferred' then return 0 end
  if f.damaged then error('the record of ' .. id .. ' is damaged') end
  local parents, is_ours = parents_of(id, f.dependency_ids), f.x_digest
  -- RQ's own word for it: a failure, and not that somebody cancelled it.
  local anyway = f.allow_dependency_failures == '1' and (is_ours and true or 'failed')
  local waiting, broken, looked_at = look_on(parents, anyway, id, ended_one)
  if broken and not is_ours then
    call('SADD', kept_key(ended_one), id)
    return looked_at
  end
  if not f.created then f = adopt(id, f.origin or 'default') end
  if broken then
    call_off(id, f, broken_text(broken))
  elseif waiting then
    call('SADD', dependents_key(waiting), id)
  else
    go_on(id, f)
  end
  return looked_at
end

-- Nonsense in one record must not hold up the others.
local function decide_safely(id, ended_one)
  local ok, looked_at = pcall(decide, id, ended_one)
  if ok then return looked_at end
  call('SADD', X .. 'damaged', id)
  load_damaged()
  bury(id)
  return 0
end

-- As long as not all have been looked at, the end of their parent must be known.
local LONG_ENOUGH = 600
local function release_later(parent)
  call('ZADD', RELEASES, 'NX', int(now), parent)
  call('EXPIRE', job_key(parent), LONG_ENOUGH, 'GT')
end

local function end_release(parent, f)
  call('ZREM', RELEASES, parent)
  if call('EXISTS', kept_key(parent)) == 0 then return end
  if f then call('RENAME', kept_key(parent), dependents_key(parent)) else call('DEL', kept_key(parent)) end
end

-- They wait for it again.
local function call_off_release(parent)
  call('SUNIONSTORE', dependents_key(parent), dependents_key(parent), kept_key(parent))
  call('DEL', kept_key(parent))
  call('ZREM', RELEASES, parent)
  return 0
end

-- Looks at some `most` records, those of dependents and of all that these wait for; the number looked at.
function release(parent, most)
  local f = job(parent, 'x_repeated')
  if f and not ENDED[f.state] and not f.x_repeated then return call_off_release(parent) end
  local looked_at = 0
  while looked_at < most do
    local child = call('SPOP', dependents_key(parent))
    if not child then break end
    looked_at = looked_at + 1 + decide_safely(child, parent)
  end
  if call('EXISTS', dependents_key(parent)) == 1 then release_later(parent) else end_release(parent, f) end
  return looked_at
end

-- Of all jobs that have ended in this call, and of those that end because of them.
function release_each(jobs, most)
  local n = 1
  while jobs[n] do
    if call('EXISTS', dependents_key(jobs[n])) == 1 then
      if most > 0 then
        most = most - release(jobs[n], most)
      else
        release_later(jobs[n])
      end
    end
    n = n + 1
  end
end
