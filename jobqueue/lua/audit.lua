#!lua flags=allow-oom
-- Looks at records one by one, from the record to its indexes: what a transition wrote must be there, what it did not write
-- must not. After a lost or foreign write everything is put right, so that no job is stuck and every count is true.
-- `ended_before`: microseconds; jobs of ours that ended earlier are removed with all their keys, 0 = none.
-- Items: job_id
-- Result: { removed, repaired, damaged }. Errors: CLEANUP_SUPERSEDED. Emits: of jobs that join the index, and what stock workers did.
local prefix = ARGV[1]
local term = ARGV[2]
local hold = tonumber(ARGV[3])
local ended_before = tonumber(ARGV[4])
-- include: leader
-- include: adopt
-- include: places
-- include: release_dependents
-- include: sound

local oldest = ended_before > 0 and iso(ended_before)
local counts = { removed = 0, repaired = 0, damaged = 0 }

local function is_over(id, f)
  if not (oldest and ENDED[f.state] and f.x_digest and f.ended_at and f.ended_at < oldest) then return false end
  return not (f.stopping and call('ZSCORE', STOPPING, id .. ':' .. f.stopping)) and not call('ZSCORE', RELEASES, id)
end

-- What can be left out of a record when nobody can read it: pairs of field and pattern.
local LOOSE = { 'x_due', '^%d+$', 'x_order', '^%d+$', 'x_expires', '^%d+$', 'x_done', '^%d+$', 'x_total', '^%d+$',
  'retries_left', '^%-?%d+$', 'x_progress', '^[%d.e+-]+$', 'x_dependents', '^%d+ ' }
local LOOSE_FIELDS = {}
for i = 1, #LOOSE, 2 do LOOSE_FIELDS[#LOOSE_FIELDS + 1] = LOOSE[i] end

-- The names of such fields in a record.
local function loose_ends(id)
  local found = {}
  for n, value in ipairs(read_fields(id, unpack(LOOSE_FIELDS))) do
    if value and (#value > LONGEST_TIME and n < 7 or not string.find(value, LOOSE[2 * n])) then found[#found + 1] = LOOSE_FIELDS[n] end
  end
  return found
end

-- Answers whether a job is set aside because nobody knows when it is due.
local function tidy(id)
  local fields = loose_ends(id)
  if #fields == 0 then return false end
  local status = call('HGET', job_key(id), 'status')
  if fields[1] == 'x_due' and (status == 'scheduled' or status == 'deferred') then
    load_damaged()
    bury(id, 'x_due')
    return true
  end
  call('HDEL', job_key(id), unpack(fields))
  counts.repaired = counts.repaired + 1
  return false
end

local function audit(id)
  -- What a stock worker did is no disorder, and its watchers have not been told.
  local f = not tidy(id) and sound_job(id, 'ended_at', 'x_digest', 'x_due', 'x_order', 'origin', 'x_expires', 'x_unique',
    'dependency_ids', 'allow_dependency_failures')
  if not f then return end
  if f.created and not f.last then call('HSET', job_key(id), 'x_mark', mark(f.status)) end
  -- Of ours it never changes; a stock tool may move its job to another queue, but to none that there is not.
  if f.created and f.origin ~= f.queue and (f.x_digest or call('SISMEMBER', P .. ':queues', queue_key(f.origin or '')) == 0) then
    call('HSET', job_key(id), 'origin', f.queue)
  end
  if not f.created then
    adopt(id, f.origin or 'default')
  elseif is_over(id, f) then
    delete_job(id, f.user, f.queue)
    counts.removed = counts.removed + 1
  elseif put_right(id, f) > 0 then
    counts.repaired = counts.repaired + 1
  end
end

if is_superseded() then return refuse('CLEANUP_SUPERSEDED', 'another server cleans up') end
for i = ITEMS, #ARGV do
  -- A record with nonsense in it must not keep the others from being looked at.
  local ok = pcall(audit, ARGV[i])
  if not ok then
    call('SADD', X .. 'damaged', ARGV[i])
    load_damaged()
    bury(ARGV[i])
    counts.damaged = counts.damaged + 1
  end
end
release_dependents(MOST_RELEASED)
give_back()
mark_queued()
publish()
return { counts.removed, counts.repaired, counts.damaged }
