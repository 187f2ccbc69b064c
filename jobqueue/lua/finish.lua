#!lua flags=allow-oom
-- Records what became of a batch of executions; see include/finish_jobs.lua.
-- Items: kind job_id execution_id value error permanent
-- Result: one verdict an item: ok, cancelled or stale. Emits: completed, failed, pending, cancelled.
local prefix = ARGV[1]
local worker = ARGV[2]
-- include: base
-- include: events
-- include: limits
-- include: types
-- include: record
-- include: admission
-- include: overtake
-- include: adopt
-- include: dependents
-- include: slots
-- include: call_off
-- include: attempts
-- include: requeue
-- include: outcome
-- include: wake
-- include: times
-- include: finish_jobs

local before = running_now()
local verdicts = finish_jobs(worker, ITEMS)
mark_queued()
wake_waiting(before)
publish()
return verdicts
