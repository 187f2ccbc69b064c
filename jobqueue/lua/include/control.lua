-- Limits and pauses of single users and types. Needs: base.
local TYPES = X .. 'types'
local UNSORTED = X .. 'unsorted'

-- From here on jobs of this type wait in lines of their own. Its running jobs hold places at once; those that wait already
-- are sorted out by the tick.
local function control(job_type)
  if call('HSETNX', TYPES, job_type, '') == 0 then return end
  for _, key in ipairs({ LEASES, STOPPING }) do
    for _, token in ipairs(call('ZRANGE', key, 0, -1)) do
      local id = string.match(token, '^(.*):[^:]*$')
      local core = read_fields(id, 'x_core')[1] or ''
      if string.match(core, '^[^\31]*\31[^\31]*\31[^\31]*\31([^\31]*)\31') == job_type then
        call('SADD', X .. 'places:' .. job_type, id)
      end
    end
  end
  local limiters = {}
  for _, limiter in ipairs(call('SMEMBERS', P .. ':rl-keys')) do
    limiters[#limiters + 1] = limiter
    limiters[#limiters + 1] = '-inf'
  end
  many('HSET', UNSORTED, limiters)
end

local function has_user_limits()
  for _, field in ipairs(call('HKEYS', X .. 'limits')) do
    if string.sub(field, 1, 5) == 'user:' then return true end
  end
  return false
end

-- Whether the other scripts have to ask for more than the two general limits.
local function note_special()
  local special = call('EXISTS', X .. 'paused', TYPES) > 0 or has_user_limits()
  if special then call('HSET', X .. 'limits', 'special', '1') else call('HDEL', X .. 'limits', 'special') end
end
