#!lua flags=allow-oom
-- A worker announces itself in RQ's worker keys and in ours. Repeatable.
-- `age`: microseconds since its first word, 0 = this is it. `result_ttl`: seconds, of jobs of stock producers that name none;
-- the last worker's word counts.
-- Result: 1. Emits: nothing.
local prefix = ARGV[1]
local worker = ARGV[2]
local queues = ARGV[3]
local host = ARGV[4]
local pid = ARGV[5]
local concurrency = ARGV[6]
local version = ARGV[7]
local python_version = ARGV[8]
local age = tonumber(ARGV[9])
local result_ttl = ARGV[10]
-- include: alive

note_age(age)
local key = P .. ':worker:' .. worker
local at = iso(now)
call('HSET', key, 'birth', at, 'last_heartbeat', at, 'queues', queues, 'pid', pid, 'hostname', host, 'ip_address', '',
  'version', version, 'python_version', python_version, 'state', 'idle')
call('HDEL', key, 'death')
call('EXPIRE', key, 480)
call('SADD', P .. ':workers', key)
for queue in string.gmatch(queues, '[^,]+') do
  call('SADD', P .. ':workers:' .. queue, key)
  call('SADD', P .. ':queues', queue_key(queue))
end
call('HSET', META, 'stock_result_ttl', result_ttl)
call('HSET', X .. 'worker:' .. worker, 'beat', int(now), 'concurrency', concurrency, 'rss_mb', '0')
call('EXPIRE', X .. 'worker:' .. worker, 480)
return 1
