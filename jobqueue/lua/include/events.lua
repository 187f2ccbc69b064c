-- One event per call with all its changes. Needs: base. Its number is the new seq of every job that the call changes.
local drawn
local changes = {}
local row_of = {}
local tags = {}

local function seq()
  if not drawn then drawn = int(call('HINCRBY', META, 'n', 1)) end
  return drawn
end

-- `,"user","type"]` as JSON; a batch has few different ones. Ids need no escapes: RQ allows letters, digits, _ and -.
local function tag(user, job_type)
  local types = tags[user]
  if not types then
    types = {}
    tags[user] = types
  end
  if not types[job_type] then types[job_type] = ',' .. cjson.encode(user) .. ',' .. cjson.encode(job_type) .. ']' end
  return types[job_type]
end

-- A job whose state changed in this call, or what it waits for: then `status_seq` is that of its last change of state.
-- A stock job may be met and changed in one: watchers take only one row of a seq.
local function changed(id, state, progress, user, job_type, status_seq)
  local row = row_of[id] or #changes + 1
  row_of[id] = row
  changes[row] = '["' .. id .. '","' .. state .. '",' .. (status_seq or seq()) .. ',' .. progress .. ',""' .. tag(user, job_type)
end

local function publish()
  if #changes == 0 then return end
  call('PUBLISH', X .. 'events', '{"n":' .. drawn .. ',"t":' .. int(math.floor(now / 1000)) .. ',"jobs":['
    .. table.concat(changes, ',') .. ']}')
end
