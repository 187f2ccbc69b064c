-- Options that few jobs have, the `rare` of `enqueue`, which this is a part of.
-- Needs: parents, unique.
-- Exports: answer_by_options status_by_parents store_options end_at_once
-- The types of keys that are written later, before the first write.
call('ZCARD', P .. ':deferred:' .. queue)
local first_with = {}

-- The first parent that there is not, or that is somebody else's.
local function unknown_parent(user, parents)
  for _, parent in ipairs(parents) do
    local first = first_of[parent]
    local f = not first and job(parent, 'rate_limit_key')
    local owner = first and ARGV[first.at + 1] or f and (f.user or user_of(f.rate_limit_key))
    if owner ~= user then return parent end
  end
end

-- The answer to a job that will not be made because of its options.
function answer_by_options(entry, user)
  local unique, parents = entry.rare.unique, entry.rare.parents
  if unique then
    if first_with[unique] then return note_twin(first_with[unique], 'exists') end
    local holder, its_state = holder_of(unique, entry.answer[3])
    if holder then return { 'exists', its_state, holder } end
  end
  local parent = parents and unknown_parent(user, parents)
  if parent then return { 'no_dependency', '', parent } end
  if unique then first_with[unique] = entry end
end

-- The first status of a job that depends on others; nil when nothing keeps it.
function status_by_parents(id, rare)
  if not rare.parents then return nil end
  local waiting, broken = look_at_parents(rare.parents, rare.anyway, id)
  if broken then return 'canceled', broken_text(broken) end
  if #waiting == 0 then return nil end
  defer(id, queue, waiting)
  return 'deferred'
end

-- As fields of the record. `start`: microseconds, before which it cannot start; `state`: as it is answered.
function store_options(id, rare, start, state)
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
    set('x_answer', state)
    many('SADD', parents_key(id), rare.parents)
    for _, parent in ipairs(rare.parents) do note_dependent(parent, id) end
  end
  if rare.schedule then set('x_schedule', rare.schedule) end
  if #fields > 0 then call('HSET', job_key(id), unpack(fields)) end
end

function end_at_once(id, rare, reason)
  call('HSET', job_key(id), 'ended_at', created_at, 'x_reason', reason)
  call('EXPIRE', job_key(id), rare.keep)
  call('ZADD', P .. ':canceled:' .. queue, clock[1], id)
  call('ZREM', DEADLINES, id)
end
