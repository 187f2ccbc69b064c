#!lua flags=allow-oom
-- Deletes what RQ keeps beside a record (its dependents, its dependencies, its results) when the record is gone: some of
-- it never expires. Who waits still for a job that is gone is looked at by the next tick.
-- Items: key job_id
-- Result: number of keys deleted. Errors: CLEANUP_SUPERSEDED. Emits: nothing.
local prefix = ARGV[1]
local term = ARGV[2]
local hold = tonumber(ARGV[3])
-- include: leader

if is_superseded() then return refuse('CLEANUP_SUPERSEDED', 'another server cleans up') end
local dropped = 0
for i = ITEMS, #ARGV, 2 do
  local id = ARGV[i + 1]
  if call('EXISTS', job_key(id)) == 1 then
    -- It is back, or was never gone.
  elseif ARGV[i] == job_key(id) .. ':dependents' then
    dropped = dropped + call('ZADD', X .. 'releases', 'NX', int(now), id)
  else
    dropped = dropped + call('DEL', ARGV[i])
  end
end
return dropped
