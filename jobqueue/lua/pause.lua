#!lua flags=allow-oom
-- Nothing of `kind` (queue: everything, user, type) and `name` starts any more until it is resumed; what runs goes on.
-- Result: 1, or 0 when it was so already. Emits: nothing.
local prefix = ARGV[1]
local kind = ARGV[2]
local name = ARGV[3]
-- include: control

-- RQ's own switch: stock workers obey it too.
if kind == 'queue' then return call('SET', P .. ':suspended', '1', 'GET') and 0 or 1 end
if kind == 'type' then control(name) end
local is_new = call('HSETNX', X .. 'paused', kind .. ':' .. name, int(now))
note_special()
return is_new
