-- A job's record after what others did to it has been put right.
-- Needs: record, limits.
-- include when needed: damaged
-- include when needed: behind
-- Whether somebody has written an older status over our last word, another end, or none that there is.
local function is_behind(status, last)
  local now_in, was_in = STATE[status], STATE[last]
  return was_in and was_in ~= 'pending' and was_in ~= 'scheduled' and now_in ~= was_in
    and (ENDED[was_in] or not ENDED[now_in])
end

local function sound_job(id, ...)
  local f = job(id, ...)
  if not f then return nil end
  local could_tell = f.created and f.attempt and is_behind(f.status, f.last)
  if could_tell then load_behind() end
  if could_tell and put_back(id, f) then return job(id, ...) end
  if not f.damaged then return f end
  load_damaged()
  bury(id, f.damaged)
  return job(id, ...)
end
