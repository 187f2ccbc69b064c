#!lua flags=allow-oom
-- A server's own tick on the event channel: silence means that its subscription is dead. Result: the event counter now.
local prefix = ARGV[1]
local server = ARGV[2]
local sent = ARGV[3]
-- include: base

local n = tonumber(call('HGET', META, 'n') or 0)
call('PUBLISH', X .. 'events', cjson.encode({ n = n, tick = server, sent = sent }))
return n
