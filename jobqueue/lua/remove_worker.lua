#!lua flags=allow-oom
-- Takes a worker out of every registry: itself at its end, or one that nobody has heard of for `silence` (0 = at once).
-- A stock worker is removed only when its hash has expired: when idle it beats each 405 s.
-- Result: 1 removed, 0 left alone. Emits: nothing; its jobs are the rescue's.
local prefix = ARGV[1]
local worker = ARGV[2]
local silence = tonumber(ARGV[3])
-- include: base

local key = P .. ':worker:' .. worker
local own = X .. 'worker:' .. worker
local queues, beat = call('HGET', key, 'queues'), call('HGET', own, 'beat')
if queues and silence > 0 and (not beat or now - tonumber(beat) < silence) then return 0 end
call('SREM', P .. ':workers', key)
if queues then
  for queue in string.gmatch(queues, '[^,]+') do call('SREM', P .. ':workers:' .. queue, key) end
  call('HSET', key, 'death', iso(now))
  if silence == 0 then
    call('HSET', key, 'state', 'idle')
    call('HSETNX', key, 'shutdown_requested_date', iso(now))
  end
  call('EXPIRE', key, 60)
else
  for _, name in ipairs(call('SMEMBERS', P .. ':queues')) do
    call('SREM', P .. ':workers:' .. string.sub(name, #P + 8), key)
  end
end
call('DEL', own, key .. ':executions')
return 1
