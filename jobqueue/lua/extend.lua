#!lua flags=allow-oom
-- The worker's heartbeat: renews the leases of its executions and its own registration.
-- RQ's execution records are written here, for jobs that run longer than a moment (`records` = 1).
-- Items: job_id execution_id records
-- Result: { known, one of 1 (renewed) | 2 (job was cancelled, still ours to stop) | 0 (lost) an item }; known = 0: the
-- worker must register again. Emits: nothing.
local prefix = ARGV[1]
local worker = ARGV[2]
local lease = tonumber(ARGV[3])
local state = ARGV[4]
local rss_mb = ARGV[5]
-- include: base

local RECORD_TTL = 90
local deadline = now + lease
local backstop = math.floor(deadline / 1000000) + 120
local at = iso(now)

local function write_records(id, execution)
  local key = P .. ':execution:' .. id .. ':' .. execution
  local float = string.format('%.6f', now / 1000000)
  if call('HSETNX', key, 'created_at', float) == 1 then
    call('HSET', key, 'id', execution, 'job_id', id, 'worker_name', worker)
    call('HSET', job_key(id), 'x_records', '1')
  end
  call('HSET', key, 'last_heartbeat', float)
  call('EXPIRE', key, RECORD_TTL)
  local executions = P .. ':executions:' .. id
  call('ZADD', executions, math.floor(now / 1000000) + RECORD_TTL + 60, execution)
  call('EXPIRE', executions, RECORD_TTL + 60)
  call('SADD', P .. ':worker:' .. worker .. ':executions', id .. ':' .. execution)
end

local function renew(id, execution, records)
  local token = id .. ':' .. execution
  if call('ZSCORE', STOPPING, token) then
    call('ZADD', STOPPING, deadline, token)
    return 2
  end
  if not call('ZSCORE', LEASES, token) then return 0 end
  local values = call('HMGET', job_key(id), 'status', 'origin')
  local status, queue = values[1], values[2]
  if not queue then return 0 end
  call('ZADD', LEASES, deadline, token)
  if status == 'canceled' or status == 'stopped' then return 2 end
  call('ZADD', P .. ':wip:' .. queue, backstop, token)
  call('HSET', job_key(id), 'last_heartbeat', at)
  if records == '1' then write_records(id, execution) end
  return 1
end

local function beat()
  local key = P .. ':worker:' .. worker
  if call('EXISTS', key) == 0 then return 0 end
  call('HSET', key, 'last_heartbeat', at, 'state', state)
  call('EXPIRE', key, 480)
  call('EXPIRE', key .. ':executions', 480)
  call('HSET', X .. 'worker:' .. worker, 'beat', int(now), 'rss_mb', rss_mb)
  call('EXPIRE', X .. 'worker:' .. worker, 480)
  return 1
end

local answer = {}
for i = ITEMS, #ARGV, 3 do answer[#answer + 1] = renew(ARGV[i], ARGV[i + 1], ARGV[i + 2]) end
return { beat(), answer }
