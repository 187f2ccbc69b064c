#!lua flags=allow-oom
-- The worker's one call under load: finish a batch, then claim the next.
-- Items: kind job_id execution_id value error permanent
-- Result: { reason, now, verdicts, jobs }, as of finish and claim.
-- Errors: UNKNOWN_WORKER, CLAIM_SUPERSEDED (nothing is changed then). Emits: all that finish and claim emit.
local prefix = ARGV[1]
local worker = ARGV[2]
local lane = ARGV[3]
local number = tonumber(ARGV[4])
local queues = ARGV[5]
local want = tonumber(ARGV[6])
local execution_prefix = ARGV[7]
local lease = tonumber(ARGV[8])
local eager = ARGV[9] == '1'
-- include: slots
-- include: ends
-- include when needed: unleased
-- include: finish_jobs
-- include: claim_jobs
-- include: wake

local seen, refusal = check_claim(worker, lane, number)
if refusal then return refusal end
local before = running_now()
local verdicts = finish_jobs(worker, ITEMS)
local reason, jobs = claim_jobs(worker, lane, number, seen, queues, want, execution_prefix, lease)
mark_queued()
wake_waiting(before)
publish()
return { reason, int(now), verdicts, jobs }
