#!lua flags=allow-oom
-- The worker's heartbeat: renews the leases of its executions and its own registration.
-- RQ's execution records are written here, for jobs that run longer than a moment (`records` = 1).
-- `age`: microseconds since the first such call. `stopping`: it takes no more jobs and ends when it can.
-- Items: job_id execution_id records
-- Result: { known, one of 1 (renewed) | 2 (job was cancelled, still ours to stop) | 0 (lost) an item }; known = 0: the
-- worker must register again. Emits: nothing.
local prefix = ARGV[1]
local worker = ARGV[2]
local lease = tonumber(ARGV[3])
local state = ARGV[4]
local rss_mb = ARGV[5]
local age = tonumber(ARGV[6])
local stopping = ARGV[7] == '1'
-- include: alive
-- include: execution_records

local deadline = now + lease
local backstop = math.floor(deadline / 1000000) + 120
local at = iso(now)

local function renew(id, execution, records)
  local token = id .. ':' .. execution
  if call('ZSCORE', STOPPING, token) then
    call('ZADD', STOPPING, deadline, token)
    return 2
  end
  if not call('ZSCORE', LEASES, token) then return 0 end
  local values = read_fields(id, 'status', 'x_core')
  local status, queue = values[1], string.match(values[2] or '', '^[^\31]*\31[^\31]*\31([^\31]*)\31')
  if not queue then return 0 end
  call('ZADD', LEASES, deadline, token)
  if status == 'canceled' or status == 'stopped' then return 2 end
  call('ZADD', P .. ':wip:' .. queue, backstop, token)
  -- An old copy that somebody saved over the record does not know the worker.
  call('HSET', job_key(id), 'last_heartbeat', at, 'worker_name', worker)
  if records == '1' then write_records(worker, id, execution) end
  return 1
end

local function beat()
  local key = P .. ':worker:' .. worker
  if call('SISMEMBER', P .. ':workers', key) == 0 or call('EXISTS', key) == 0 then return 0 end
  local is_suspended = state == 'idle' and call('EXISTS', P .. ':suspended') == 1
  call('HSET', key, 'last_heartbeat', at, 'state', is_suspended and 'suspended' or state)
  if stopping then call('HSETNX', key, 'shutdown_requested_date', at) end
  call('EXPIRE', key, 480)
  call('EXPIRE', key .. ':executions', 480)
  call('HSET', X .. 'worker:' .. worker, 'beat', int(now), 'rss_mb', rss_mb)
  call('EXPIRE', X .. 'worker:' .. worker, 480)
  return 1
end

if age > 0 then note_age(age) end
local answer = {}
for i = ITEMS, #ARGV, 3 do answer[#answer + 1] = renew(ARGV[i], ARGV[i + 1], ARGV[i + 2]) end
return { beat(), answer }
