#!lua flags=allow-oom
-- What there is to do about schedules: those whose tick has come, at most `batch` and about a MiB of them after the first
-- `offset`; and the next `sample` of all, in rotation, so that a tick that is wrong or lost is found. Entries without a
-- record are dropped.
-- Result: { now, more, { id, tick, rule, template, runs, ... }, { id, tick, rule, ... } }; tick '' = it has none. Paused
-- schedules are in neither. Emits: nothing.
local prefix = ARGV[1]
local interval = tonumber(ARGV[2])
local offset = ARGV[3]
local batch = tonumber(ARGV[4])
local sample = tonumber(ARGV[5])
-- include: throttle
-- include: schedules

local MOST_BYTES = 1048576

local function add(list, ...)
  for _, value in ipairs({ ... }) do list[#list + 1] = value end
end

-- A foreign value there would let every firing fail.
local function runs_of(id, runs)
  if string.match(runs, '^%d+$') and #runs < 16 then return runs end
  call('HDEL', schedule_key(id), 'runs')
  return '0'
end

local function due()
  local found, bytes = {}, 0
  local ids = call('ZRANGEBYSCORE', TICKS, '-inf', int(now), 'LIMIT', offset, batch)
  for n, id in ipairs(ids) do
    local f, tick = read_schedule(id, 'rule', 'template', 'runs'), tick_of(id)
    if not f[1] or not f[2] then
      call('ZREM', TICKS, id)
    elseif tick ~= '' then
      add(found, id, tick, f[1], f[2], runs_of(id, f[3] or '0'))
      bytes = bytes + #f[1] + #f[2]
      if bytes >= MOST_BYTES then return found, n < #ids and 1 or 0 end
    end
  end
  return found, #ids == batch and 1 or 0
end

local function look_at(list, id)
  local f = read_schedule(id, 'rule', 'paused')
  if f[1] and not f[2] then return add(list, id, tick_of(id), f[1]) end
  call('ZREM', TICKS, id)
  -- What is damaged stays listed: so it can be removed.
  if not f[1] and call('EXISTS', schedule_key(id)) == 0 then call('ZREM', SCHEDULES, id) end
end

local function rotate()
  local found = {}
  local ids = call('ZRANGEBYSCORE', SCHEDULES, '(' .. (call('HGET', META, 'schedules_seen') or '0'), '+inf', 'WITHSCORES',
    'LIMIT', 0, sample)
  call('HSET', META, 'schedules_seen', #ids == 2 * sample and ids[#ids] or '0')
  for n = 1, #ids, 2 do look_at(found, ids[n]) end
  return found
end

local here = call('ZCARD', SCHEDULES) + call('ZCARD', TICKS)
if here == 0 or too_soon('schedules_throttle', interval) then return { int(now), 0, {}, {} } end
local found, more = due()
return { int(now), more, found, rotate() }
