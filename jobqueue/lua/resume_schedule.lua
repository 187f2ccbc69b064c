#!lua flags=allow-oom
-- Ticks come again, first `tick`. A schedule that is not paused keeps the tick it has.
-- Result: 1, or 0 when it was not paused. Errors: SCHEDULE_NOT_FOUND. Emits: nothing.
local prefix = ARGV[1]
local id = ARGV[2]
local tick = ARGV[3]
-- include: schedules

if not is_schedule(id) then return no_schedule(id) end
call('ZCARD', TICKS)
if call('HDEL', schedule_key(id), 'paused') == 0 then return 0 end
call('HDEL', schedule_key(id), 'error')
call('ZADD', TICKS, tick, id)
return 1
