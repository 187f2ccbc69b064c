#!lua flags=allow-oom
-- Moves ticks without making a job, each only if it still is what it was when it was looked at.
-- Items: schedule_id tick following error (tick '' = it had none, following '' = there is none, error '' = say nothing)
-- Result: 1 moved, 0 left alone an item. Emits: nothing.
local prefix = ARGV[1]
-- include: schedules

local function plan(id, tick, following, reason)
  local f = read_schedule(id, 'rule', 'paused')
  if not f[1] or f[2] or tick_of(id) ~= tick then return 0 end
  if following == '' then
    call('ZREM', TICKS, id)
  else
    call('ZADD', TICKS, following, id)
  end
  if reason ~= '' then call('HSET', schedule_key(id), 'error', reason) end
  return 1
end

local answer = {}
for i = ITEMS, #ARGV, 4 do answer[#answer + 1] = plan(ARGV[i], ARGV[i + 1], ARGV[i + 2], ARGV[i + 3]) end
return answer
