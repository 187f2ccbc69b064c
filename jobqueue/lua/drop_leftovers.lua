#!lua flags=allow-oom
-- Deletes what RQ keeps beside a record (its dependents, its dependencies, its results) when the record is gone: some of
-- it never expires.
-- Items: key job_id
-- Result: number of keys deleted. Errors: CLEANUP_SUPERSEDED. Emits: nothing.
local prefix = ARGV[1]
local term = ARGV[2]
local hold = tonumber(ARGV[3])
-- include: base
-- include: leader

if is_superseded() then return refuse('CLEANUP_SUPERSEDED', 'another server cleans up') end
local dropped = 0
for i = ITEMS, #ARGV, 2 do
  if call('EXISTS', job_key(ARGV[i + 1])) == 0 then dropped = dropped + call('DEL', ARGV[i]) end
end
return dropped
