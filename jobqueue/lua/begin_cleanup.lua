#!lua flags=allow-oom
-- One server at a time cleans up, each `interval`: begins a new term when it is time. `hold`: for how long nobody else may
-- begin without a sign of life. A cold start of the system is cleaned up at once, or rather after `patience`: until then
-- somebody who lived before it may take it back. So is a key of another type at which a script has failed.
-- Result: { term, cold_start, namespace_id, strange }; term '' = not now; cold_start = when the system started, in
-- microseconds, '' = no start that was not cleaned up yet; namespace_id tells this data set from others; strange = 1 when a
-- script has failed so, else 0. Emits: nothing.
local prefix = ARGV[1]
local server = ARGV[2]
local interval = tonumber(ARGV[3])
local hold = tonumber(ARGV[4])
local patience = tonumber(ARGV[5])
-- include: base

local known = call('HMGET', META, 'cleanup_until', 'last_cleanup', 'cold_start', 'namespace_id', 'strange')
local held_until, last = tonumber(known[1] or 0), tonumber(known[2] or 0)
local cold, strange = known[3] or '', known[5]
if cold ~= '' and tonumber(cold) <= now and now - tonumber(cold) < patience then cold = '' end
if now < held_until and held_until - now <= hold then return { '', '', '', 0 } end
if cold == '' and not strange and last <= now and now - last < interval then return { '', '', '', 0 } end
local id = known[4] or server .. '-' .. int(now)
call('HSET', META, 'cleanup_until', int(now + hold), 'namespace_id', id)
if strange then call('HDEL', META, 'strange') end
return { tostring(call('HINCRBY', META, 'cleanup_term', 1)), cold, id, strange and 1 or 0 }
