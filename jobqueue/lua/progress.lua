#!lua flags=allow-oom
-- How far running jobs are. Progress only grows within an attempt; an execution without its lease changes nothing.
-- Items: job_id execution_id fraction step done total ('' = unchanged)
-- Result: 1 or 0 (lost) an item. Emits: progress (state running, status_seq unchanged).
local prefix = ARGV[1]
-- include: record
-- include: fraction

-- A job that is only further on than before.
local function progressed(id, status_seq, progress, step, user, job_type)
  changes[#changes + 1] = '["' .. id .. '","running",' .. status_seq .. ',' .. progress .. ',' .. cjson.encode(step)
    .. tag(user, job_type)
end

local function given(new, old, default)
  if new ~= '' then return new end
  return old or default
end

local function note(i)
  local id = ARGV[i]
  if not call('ZSCORE', LEASES, id .. ':' .. ARGV[i + 1]) then return 0 end
  local f = job(id, 'x_progress', 'x_step', 'x_done', 'x_total')
  if not f or f.damaged or f.last ~= 'started' then return 0 end
  local progress = math.max(fraction(f.x_progress), tonumber(given(ARGV[i + 2], nil, '0')))
  local step = ARGV[i + 3] == '' and (f.x_step or '') or ARGV[i + 3]
  call('HSET', job_key(id), 'x_progress', string.format('%.6g', progress), 'x_step', step,
    'x_done', given(ARGV[i + 4], f.x_done, '0'), 'x_total', given(ARGV[i + 5], f.x_total, '0'),
    'x_mark', 'started ' .. seq() .. ' ' .. f.status_seq)
  progressed(id, f.status_seq, progress, step, f.user, f.type)
  return 1
end

local answer = {}
for i = ITEMS, #ARGV, 6 do answer[#answer + 1] = note(i) end
publish()
return answer
