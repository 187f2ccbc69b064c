#!lua flags=allow-oom
-- A server says that it lives, and how much memory it uses. Servers silent for a minute are forgotten.
-- `age`: microseconds since its first word, 0 = this is it.
-- Result: number of servers alive. Emits: nothing.
local prefix = ARGV[1]
local server = ARGV[2]
local host = ARGV[3]
local pid = ARGV[4]
local rss_mb = ARGV[5]
local age = tonumber(ARGV[6])
-- include: alive

note_age(age)
local key = X .. 'server:' .. server
call('HSET', key, 'host', host, 'pid', pid, 'rss_mb', rss_mb)
call('EXPIRE', key, 60)
call('ZADD', X .. 'servers', now, server)
call('ZREMRANGEBYSCORE', X .. 'servers', '-inf', int(now - 60000000))
return call('ZCARD', X .. 'servers')
