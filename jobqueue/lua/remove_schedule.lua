#!lua flags=allow-oom
-- Forgets a schedule; jobs that it made stay as they are.
-- Result: 1. Errors: SCHEDULE_NOT_FOUND. Emits: nothing.
local prefix = ARGV[1]
local id = ARGV[2]
-- include: schedules

-- Also one that is damaged can be removed.
if not call('ZSCORE', SCHEDULES, id) then return no_schedule(id) end
call('ZREM', TICKS, id)
call('ZREM', SCHEDULES, id)
call('DEL', schedule_key(id))
return 1
