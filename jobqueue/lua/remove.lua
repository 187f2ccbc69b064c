#!lua flags=allow-oom
-- Deletes an ended job with all its keys. Those that waited for it are looked at first, at most `batch` a call.
-- Result: 1, or 0: there are more of them, ask again. Errors: NOT_FOUND, WRONG_STATE <state>, STILL_STOPPING.
-- Emits: deleted, which is no state; and what follows for its dependents.
local prefix = ARGV[1]
local id = ARGV[2]
local batch = tonumber(ARGV[3])
-- include: dependents
-- include: release_dependents
-- include: outcome
-- include: sound

local f = sound_job(id, 'origin')
if not f then return refuse('NOT_FOUND', id) end
publish()
if not ENDED[f.state] then return refuse('WRONG_STATE', f.state) end
if f.stopping and call('ZSCORE', STOPPING, id .. ':' .. f.stopping) then
  return refuse('STILL_STOPPING', 'its execution has not ended yet')
end

if call('ZSCORE', RELEASES, id) then
  release_dependents(batch - release(id, batch))
  give_back()
  mark_queued()
end
local is_done = not call('ZSCORE', RELEASES, id)
if is_done then
  delete_job(id, f.user or 'default_user', f.queue or f.origin or 'default')
  changed(id, 'deleted', 0, f.user or 'default_user', f.type or '')
end
publish()
return is_done and 1 or 0
