-- A job's record after what others did to it has been put right.
-- Needs: slots, differs.
-- Loads: follow, damaged.
-- Exports: sound_job
function sound_job(id, ...)
  local f = job(id, ...)
  if not f then return nil end
  if f.damaged then
    load_damaged()
    bury(id, f.damaged)
  elseif f.created and differs(f.status, f.last) then
    load_follow()
    follow(id)
    give_back()
    mark_queued()
  else
    return f
  end
  return job(id, ...)
end
