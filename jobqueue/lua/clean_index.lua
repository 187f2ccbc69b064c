#!lua flags=allow-oom
-- A slice of one index: drops the entries whose job is gone or no longer belongs there. `kind` and `name` tell the index,
-- as Keys.describe does; `wanted`: the type that its key must have. What a job misses is given to it by `audit`; places that
-- become free are filled by `sweep`.
-- Result: { cursor, dropped }; cursor 0 = the index is through. Errors: CLEANUP_SUPERSEDED. Emits: nothing.
local prefix = ARGV[1]
local term = ARGV[2]
local hold = tonumber(ARGV[3])
local key = ARGV[4]
local kind = ARGV[5]
local name = ARGV[6]
local cursor = ARGV[7]
local batch = tonumber(ARGV[8])
local wanted = ARGV[9]
-- include: leader
-- include: record
-- include: key_aside

local STATUS = {
  finished = { finished = true }, failed = { failed = true, stopped = true }, canceled = { canceled = true },
  scheduled = { scheduled = true }, deferred = { deferred = true, ready_to_enqueue = true }, waiting = { rate_limited = true },
  parked = { queued = true }, line = { rate_limited = true },
}
local ADMITTED = { allowed = true, places = true }
local COMMANDS = { set = { 'SSCAN', 'SREM' }, zset = { 'ZSCAN', 'ZREM' }, hash = { 'HSCAN', 'HDEL' } }

local function owner(core) return string.match(core, '^([^\31]*)') end

local function is_live(token) return call('ZSCORE', LEASES, token) or call('ZSCORE', STOPPING, token) end

-- The job's own execution, or the one of before it was cancelled or restarted.
local function has_live_execution(id, run)
  local exec, stopping = string.match(run or FRESH_RUN, '^(%S+) .* (%S+)$')
  return exec and is_live(id .. ':' .. exec) or exec and is_live(id .. ':' .. stopping)
end

local function job_belongs(id)
  local values = read_fields(id, 'status', 'x_core', 'x_run')
  local status, core = values[1], values[2]
  if not status then return false end
  -- A damaged record holds nothing: what it stood for is not known any more.
  if core and not string.match(core, CORE_HEAD) then return kind == 'state' end
  if kind == 'state' then return core end
  if kind == 'user' then return core and owner(core) == name end
  if ADMITTED[kind] then return status == 'queued' or status == 'started' or has_live_execution(id, values[3]) end
  return STATUS[kind][status]
end

-- The token of a unique key belongs to a job that has not ended; a deadline to one that has not started.
local function is_open(id, token)
  local f = job(id, 'x_unique', 'x_expires')
  if not f or ENDED[f.state] then return false end
  if token then return f.x_unique == token end
  return f.x_expires and f.state ~= 'running'
end

local function belongs(member, value)
  if kind == 'live' then return is_live(member) end
  if kind == 'unique' then return is_open(value, member) end
  if kind == 'deadlines' then return is_open(member) end
  if kind == 'waiters' then return call('EXISTS', X .. 'line:' .. member .. ':' .. name) == 1 end
  if kind == 'damaged' then return call('TYPE', job_key(member)).ok ~= 'none' end
  if kind ~= 'wip' then return job_belongs(member) end
  return is_live(member) or call('EXISTS', job_key(string.match(member, '^(.*):[^:]*$') or member)) == 1
end

if is_superseded() then return refuse('CLEANUP_SUPERSEDED', 'another server cleans up') end
if put_aside(key, wanted) then return { '0', 1 } end
local page = call(COMMANDS[wanted][1], key, cursor, 'COUNT', batch)
local dropped = {}
for i = 1, #page[2], wanted == 'set' and 1 or 2 do
  if not belongs(page[2][i], page[2][i + 1]) then dropped[#dropped + 1] = page[2][i] end
end
many(COMMANDS[wanted][2], key, dropped)
if kind == 'parked' and call('EXISTS', key) == 0 then call('SREM', X .. 'parked', name) end
return { page[1], #dropped }
