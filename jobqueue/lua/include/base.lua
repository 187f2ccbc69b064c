-- Names of keys, the clock, and variadic calls in chunks. Every script includes this first.
local P = ARGV[1]
local X = P .. ':x:'
local META = X .. 'meta'
local LEASES = X .. 'leases'
local STOPPING = X .. 'stopping'
local DEADLINES = X .. 'deadlines'

local STATES = { 'pending', 'scheduled', 'running', 'completed', 'failed', 'cancelled' }

local call = redis.call

local function job_key(id) return P .. ':job:' .. id end
local function queue_key(queue) return P .. ':queue:' .. queue end
local function state_key(state) return X .. 'state:' .. state end

local clock = call('TIME')
local now = clock[1] * 1000000 + clock[2]

-- Lua prints large numbers as 1.79e+15.
local function int(number) return string.format('%.0f', number) end

-- Unix microseconds -> RQ's datetime text. Days to civil date by the usual era arithmetic (400-year cycles).
local function iso(us)
  local seconds = math.floor(us / 1000000)
  local days = math.floor(seconds / 86400)
  local rest = seconds - days * 86400
  local z = days + 719468
  local era = math.floor(z / 146097)
  local doe = z - era * 146097
  local yoe = math.floor((doe - math.floor(doe / 1460) + math.floor(doe / 36524) - math.floor(doe / 146096)) / 365)
  local doy = doe - (365 * yoe + math.floor(yoe / 4) - math.floor(yoe / 100))
  local mp = math.floor((5 * doy + 2) / 153)
  local month = mp < 10 and mp + 3 or mp - 9
  local year = yoe + era * 400 + (month <= 2 and 1 or 0)
  return string.format('%04d-%02d-%02dT%02d:%02d:%02d.%06dZ', year, month, doy - math.floor((153 * mp + 2) / 5) + 1,
    math.floor(rest / 3600), math.floor(rest % 3600 / 60), rest % 60, us - seconds * 1000000)
end

-- A variadic command in chunks: Lua's stack ends at about 8,000 values. Chunks are even, so pairs stay together.
local function many(command, key, list)
  local result = 0
  for first = 1, #list, 1000 do
    result = result + call(command, key, unpack(list, first, math.min(first + 999, #list)))
  end
  return result
end

local function append(lists, name, value, other)
  local list = lists[name]
  if not list then
    list = {}
    lists[name] = list
  end
  list[#list + 1] = value
  if other ~= nil then list[#list + 1] = other end
end

-- Fields of a job's record; nothing when there is none, or when somebody put another type under a job's name. Such an id
-- is kept aside for the operator and must not stop what is done for others.
local function read_fields(id, ...)
  local values = redis.pcall('HMGET', job_key(id), ...)
  if not values.err then return values end
  -- Scripts that only read may not write this either.
  redis.pcall('SADD', X .. 'damaged', id)
  return {}
end

local function refuse(code, text) return redis.error_reply(code .. ' ' .. text) end
