#!lua flags=allow-oom
-- Records what became of a batch of executions; see include/finish_jobs.lua.
-- Items: kind job_id execution_id value error permanent
-- Result: one verdict an item: ok, cancelled or stale. Emits: completed, failed, pending, cancelled.
local prefix = ARGV[1]
local worker = ARGV[2]
-- include: finish_jobs
-- include: wake

local before = running_now()
local verdicts = finish_jobs(worker, ITEMS)
mark_queued()
wake_waiting(before)
publish()
return verdicts
