#!lua flags=allow-oom
-- Tells a worker to finish what it runs, to take nothing new and then to end. It hears of it at once, or with its next claim.
-- Result: 1, or 0 when it was told before. Errors: UNKNOWN_WORKER. Emits: nothing.
local prefix = ARGV[1]
local worker = ARGV[2]
-- include: base

local own = X .. 'worker:' .. worker
if call('EXISTS', own) == 0 then return refuse('UNKNOWN_WORKER', 'worker ' .. worker .. ' is not registered, or no worker of ours') end
local is_new = call('HSETNX', own, 'drain', '1')
call('PUBLISH', P .. ':pubsub:' .. worker, '{"command":"drain"}')
return is_new
