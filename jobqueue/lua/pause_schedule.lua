#!lua flags=allow-oom
-- From now on no tick of this schedule comes, also none that is due already.
-- Result: 1, or 0 when it was paused before. Errors: SCHEDULE_NOT_FOUND. Emits: nothing.
local prefix = ARGV[1]
local id = ARGV[2]
-- include: schedules

if not is_schedule(id) then return no_schedule(id) end
call('ZREM', TICKS, id)
return call('HSET', schedule_key(id), 'paused', '1')
