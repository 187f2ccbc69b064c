#!lua flags=allow-oom
-- The last step of a cleanup. `report`: what it did, as JSON, for the statistics.
-- Result: 1. Errors: CLEANUP_SUPERSEDED. Emits: nothing.
local prefix = ARGV[1]
local term = ARGV[2]
local hold = tonumber(ARGV[3])
local report = ARGV[4]
-- include: base
-- include: leader

if is_superseded() then return refuse('CLEANUP_SUPERSEDED', 'another server cleans up') end
call('HSET', META, 'last_cleanup', int(now), 'cleanup_report', report)
call('HDEL', META, 'cleanup_until', 'cold_start')
return 1
