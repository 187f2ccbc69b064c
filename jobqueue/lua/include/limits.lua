-- Limits in force: what was set through the API, else what was configured, else RQ-like defaults.
-- SPECIAL: a user or a job type has a limit of its own or is paused; while none has, nobody pays for the question.
-- Needs: base.
local LIMITS = X .. 'limits'
local PAUSED = X .. 'paused'

local function limits()
  local set = call('HMGET', LIMITS, 'total_set', 'per_user_set', 'total', 'per_user', 'special')
  return tonumber(set[1] or set[3] or 10), tonumber(set[2] or set[4] or 3), set[5]
end

local TOTAL, PER_USER, SPECIAL = limits()

-- Limiters of ours carry their user's name; of a stock producer's the whole name stands for a user.
local function user_of(limiter)
  if not limiter or limiter == '' then return 'default_user' end
  return string.sub(limiter, 1, 5) == 'user:' and string.sub(limiter, 6) or limiter
end

local user_limits = {}
local function user_limit(user)
  if not SPECIAL then return PER_USER end
  if not user_limits[user] then
    local paused = call('HEXISTS', PAUSED, 'user:' .. user) == 1
    user_limits[user] = paused and 0 or tonumber(call('HGET', LIMITS, 'user:' .. user) or PER_USER)
  end
  return user_limits[user]
end

-- nil: nobody has ever set a limit for this type or paused it.
local type_limits
local function type_limit(job_type)
  if not SPECIAL or job_type == '' then return nil end
  if not type_limits then
    type_limits = {}
    local flat = call('HGETALL', X .. 'types')
    for i = 1, #flat, 2 do
      local paused = call('HEXISTS', PAUSED, 'type:' .. flat[i]) == 1
      type_limits[flat[i]] = paused and 0 or tonumber(flat[i + 1]) or math.huge
    end
  end
  return type_limits[job_type]
end
