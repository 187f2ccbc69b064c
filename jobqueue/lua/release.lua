#!lua flags=allow-oom
-- Goes on with the dependents of jobs that have ended, where one call was not enough: looks at some `batch`
-- records a call.
-- Result: 1 there is more, else 0. Emits: pending, scheduled, cancelled.
local prefix = ARGV[1]
local batch = tonumber(ARGV[2])
-- include: dependents
-- include: release_dependents

local left = batch
for _, parent in ipairs(call('ZRANGE', RELEASES, 0, batch - 1)) do
  if left > 0 then left = left - release(parent, left) end
end
release_dependents(left)
give_back()
mark_queued()
publish()
return call('EXISTS', RELEASES)
