-- Schedules: their index, their next ticks and their records. What a definition means is Python's business. Needs: base.
local SCHEDULES = X .. 'schedules'
local TICKS = X .. 'ticks'

local function schedule_key(id) return X .. 'schedule:' .. id end

-- Fields of a schedule; nothing when there is none, or when something else has its name.
local function read_schedule(id, ...)
  local values = redis.pcall('HMGET', schedule_key(id), ...)
  return values.err and {} or values
end

-- '' = none, or a foreign one that is no time.
local function tick_of(id)
  local tick = tonumber(call('ZSCORE', TICKS, id) or -1)
  return tick >= 0 and tick < 2 ^ 53 and tick == math.floor(tick) and int(tick) or ''
end

-- What can be changed is what is listed and has a record.
local function is_schedule(id)
  return call('ZSCORE', SCHEDULES, id) and read_schedule(id, 'rule')[1]
end

local function no_schedule(id) return refuse('SCHEDULE_NOT_FOUND', id) end
