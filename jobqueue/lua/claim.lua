#!lua flags=allow-oom
-- Gives up to `want` waiting jobs to a worker, within the global and the users' limits.
-- Result: { reason, now, {}, jobs }, a job: { id, execution, core, attempt, fence, failures, data }.
-- Errors: UNKNOWN_WORKER, CLAIM_SUPERSEDED. Emits: running, and cancelled of jobs whose deadline is over.
local prefix = ARGV[1]
local worker = ARGV[2]
local lane = ARGV[3]
local number = tonumber(ARGV[4])
local queues = ARGV[5]
local want = tonumber(ARGV[6])
local execution_prefix = ARGV[7]
local lease = tonumber(ARGV[8])
local eager = ARGV[9] == '1'
-- include: claim_jobs

local seen, refusal = check_claim(worker, lane, number)
if refusal then return refusal end
local reason, jobs = claim_jobs(worker, lane, number, seen, queues, want, execution_prefix, lease)
mark_queued()
publish()
return { reason, int(now), {}, jobs }
