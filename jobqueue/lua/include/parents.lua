-- What a job waits for: in RQ's own sets each dependent has the set of all its parents, and each parent that of its
-- dependents. The records of the parents are the truth.
-- Needs: record, ends.
-- Exports: look_at_parents parents_key parents_of end_of meaning broken_text note_dependent defer
function parents_key(id) return P .. ':job::' .. id .. ':dependencies' end

-- From the record, which never changes; from RQ's set if nobody can read that (then true is the second answer).
function parents_of(id, dependency_ids)
  local ok, listed = pcall(cjson.decode, dependency_ids or '')
  local parents = {}
  for _, parent in ipairs(ok and type(listed) == 'table' and listed or {}) do
    if type(parent) == 'string' then parents[#parents + 1] = parent end
  end
  if #parents > 0 then return parents, false end
  return call('SMEMBERS', parents_key(id)), true
end

-- A parent without a record. Its dependents were looked at when it ended, and it ended well if they wait still; unless
-- this one was not yet: then nobody knows.
local function state_of_gone(parent, child, unknown)
  if parent == unknown or child and call('SISMEMBER', dependents_key(parent), child) == 1 then return 'gone' end
  return 'completed'
end

-- Of a job that repeats each success is one, as RQ has it.
function end_of(parent, child, unknown)
  local f = job(parent, 'x_repeated')
  if not f then return state_of_gone(parent, child, unknown) end
  return f.x_repeated and not ENDED[f.state] and 'completed' or f.state
end

-- Whether a parent in this state keeps others waiting, and whether it ended badly.
-- `anyway`: true: any end is as good as success; or the one state that is, too.
function meaning(state, anyway)
  if state ~= 'gone' and not ENDED[state] then return true, false end
  return false, state ~= 'completed' and anyway ~= true and anyway ~= state
end

-- What still keeps a job waiting: the parents that have not ended, and the first that ended badly (with its state).
-- `child`: whose parents they are; false: a parent without a record is past.
function look_at_parents(parents, anyway, child)
  local waiting, broken = {}, nil
  for _, id in ipairs(parents) do
    local state = end_of(id, child)
    local waits, badly = meaning(state, anyway)
    if waits then waiting[#waiting + 1] = id elseif badly and not broken then broken = { id, state } end
  end
  return waiting, broken
end

function broken_text(broken) return 'job ' .. broken[1] .. ', which it depends on, is ' .. broken[2] end

-- The record of a parent shows who depends on it, also later: how many there were, and the first hundred.
local MOST_SHOWN = 100
function note_dependent(parent, id)
  local count, ids = string.match(call('HGET', job_key(parent), 'x_dependents') or '', '^(%d+) (.*)$')
  count = (count or 0) + 1
  ids = count > MOST_SHOWN and ids or (ids and ids .. ' ' .. id or id)
  call('HSET', job_key(parent), 'x_dependents', count .. ' ' .. ids)
end

-- Waits until its parents have ended. RQ's tools read these sets too.
function defer(id, queue, waiting)
  call('ZADD', P .. ':deferred:' .. queue, clock[1], id)
  for _, parent in ipairs(waiting) do call('SADD', dependents_key(parent), id) end
end
