-- One event per call with all its changes. Its number is the new seq of every job that the call changes.
local drawn
local changes = {}

local function seq()
  if not drawn then drawn = call('HINCRBY', META, 'n', 1) end
  return drawn
end

local function changed(id, state, status_seq, progress, step, user, job_type)
  changes[#changes + 1] = { id, state, status_seq, progress, step, user, job_type }
end

local function publish()
  if #changes == 0 then return end
  call('PUBLISH', X .. 'events', cjson.encode({ n = drawn, t = math.floor(now / 1000), jobs = changes }))
end
