#!lua flags=allow-oom
-- How far running jobs are. Progress only grows within an attempt; an execution without its lease changes nothing.
-- Items: job_id execution_id fraction step done total ('' = unchanged)
-- Result: 1 or 0 (lost) an item. Emits: progress (state running, status_seq unchanged).
local prefix = ARGV[1]
-- include: base
-- include: events
-- include: record

local FIELDS = { 'x_progress', 'x_step', 'x_done', 'x_total', 'x_status_seq', 'x_user', 'x_type', 'x_status' }

local function given(new, old, default)
  if new ~= '' then return new end
  return old or default
end

local function note(i)
  local id = ARGV[i]
  if not call('ZSCORE', LEASES, id .. ':' .. ARGV[i + 1]) then return 0 end
  local f = fields(id, FIELDS)
  if f.x_status ~= 'started' then return 0 end
  local progress = math.max(tonumber(f.x_progress or 0), tonumber(given(ARGV[i + 2], nil, '0')))
  local step = ARGV[i + 3] == '' and (f.x_step or '') or ARGV[i + 3]
  call('HSET', job_key(id), 'x_progress', string.format('%.6g', progress), 'x_step', step,
    'x_done', given(ARGV[i + 4], f.x_done, '0'), 'x_total', given(ARGV[i + 5], f.x_total, '0'), 'x_seq', seq())
  changed(id, 'running', tonumber(f.x_status_seq), progress, step, f.x_user, f.x_type or '')
  return 1
end

local answer = {}
for i = ITEMS, #ARGV, 6 do answer[#answer + 1] = note(i) end
publish()
return answer
