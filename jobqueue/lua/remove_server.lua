#!lua flags=allow-oom
-- A server leaves cleanly. Result: 1. Emits: nothing.
local prefix = ARGV[1]
local server = ARGV[2]
-- include: base

call('DEL', X .. 'server:' .. server)
call('ZREM', X .. 'servers', server)
return 1
