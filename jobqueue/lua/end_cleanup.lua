#!lua flags=allow-oom
-- The last step of a cleanup. `cold_start`: as `begin_cleanup` answered it; a later one is the next cleanup's affair.
-- `report`: what it did, as JSON, for the statistics.
-- Result: 1. Errors: CLEANUP_SUPERSEDED. Emits: nothing.
local prefix = ARGV[1]
local term = ARGV[2]
local hold = tonumber(ARGV[3])
local cold_start = ARGV[4]
local report = ARGV[5]
-- include: leader

if is_superseded() then return refuse('CLEANUP_SUPERSEDED', 'another server cleans up') end
call('HSET', META, 'last_cleanup', int(now), 'cleanup_report', report)
call('HDEL', META, 'cleanup_until')
if call('HGET', META, 'cold_start') == cold_start then call('HDEL', META, 'cold_start') end
return 1
