-- A batch of one that may be handed in again: with an idempotency key, or as the tick of a schedule. A part of `enqueue`.
-- Needs: base.
-- Exports: earlier_answer remember
local ONCE_SECONDS = 86400
local once_key = X .. 'once:' .. once
local digest = ARGV[ITEMS + 7]

local function is_superseded()
  return schedule_id ~= '' and tonumber(call('ZSCORE', X .. 'ticks', schedule_id) or 0) ~= tick
end

-- nil: it is handed in for the first time.
function earlier_answer()
  if is_superseded() then return { 'superseded', '', '' } end
  if once == '' then return nil end
  local first, state, id = string.match(call('GET', once_key) or '', '^(%S+) (%S+) (%S+)$')
  return first and { first == digest and 'exists' or 'once_conflict', state, id }
end

-- The tick of a schedule is over, whether its job is new or has existed before.
local function advance_schedule(outcome, id)
  if following == '' then call('ZREM', X .. 'ticks', schedule_id) else call('ZADD', X .. 'ticks', following, schedule_id) end
  local key = X .. 'schedule:' .. schedule_id
  call('HSET', key, 'last_tick', int(tick), 'last_fired_at', int(now), 'last_job_id', id)
  if outcome == 'created' then call('HINCRBY', key, 'runs', 1) end
  call('HDEL', key, 'error')
end

-- A refusal is left to the caller.
function remember(outcome, state, id)
  if outcome ~= 'created' and outcome ~= 'exists' then return end
  if once ~= '' then call('SET', once_key, digest .. ' ' .. state .. ' ' .. id, 'EX', ONCE_SECONDS) end
  if schedule_id ~= '' then advance_schedule(outcome, id) end
end
