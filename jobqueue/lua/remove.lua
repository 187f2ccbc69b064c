#!lua flags=allow-oom
-- Deletes ended jobs with all their keys, each only if it is still as it was when it was looked at.
-- Items: job_id seq
-- Result: 1 removed, 0 left alone (not ended, changed meanwhile, or its execution still stops) an item. Emits: nothing.
local prefix = ARGV[1]
-- include: base
-- include: events
-- include: record
-- include: outcome

local function remove(id, seen)
  local f = job(id)
  if not f or f.seq ~= seen then return 0 end
  if not ENDED[f.state] then return 0 end
  if f.stopping and call('ZSCORE', STOPPING, id .. ':' .. f.stopping) then return 0 end
  delete_job(id, f.user, f.queue)
  return 1
end

local answer = {}
for i = ITEMS, #ARGV, 2 do answer[#answer + 1] = remove(ARGV[i], ARGV[i + 1]) end
return answer
