-- RQ's own records of an execution: its hash, the job's zset, the worker's set. All three together, never one alone: stock
-- tools repair what they find incomplete. Needs: base.
local RECORD_TTL = 90

-- What RQ's tools give up they take out of this registry; a producer that saves an old copy of the job does not.
local function is_in_wip(token, queue) return call('ZSCORE', P .. ':wip:' .. queue, token) end

local function write_records(worker, id, execution)
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

local function forget_records(worker, id, execution)
  call('DEL', P .. ':execution:' .. id .. ':' .. execution)
  call('ZREM', P .. ':executions:' .. id, execution)
  if worker then call('SREM', P .. ':worker:' .. worker .. ':executions', id .. ':' .. execution) end
end
