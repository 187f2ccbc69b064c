#!lua
-- Stores a schedule under its caller's id; one that exists is answered, never overwritten. `rule`: when, `template`: what,
-- both JSON for Python alone. `digest` tells equal schedules from others. `tick`: the first one, '' = it begins paused.
-- Refused by Redis itself when memory is full.
-- Result: created, exists or conflict. Emits: nothing.
local prefix = ARGV[1]
local id = ARGV[2]
local user = ARGV[3]
local name = ARGV[4]
local rule = ARGV[5]
local template = ARGV[6]
local digest = ARGV[7]
local tick = ARGV[8]
-- include: schedules

local key = schedule_key(id)
if call('EXISTS', key) == 1 then return read_schedule(id, 'digest')[1] == digest and 'exists' or 'conflict' end

-- The type of what is written below, before the first write.
call('ZCARD', TICKS)
-- The list's pages end at a time of creation.
local created = now
while call('ZCOUNT', SCHEDULES, int(created), int(created)) > 0 do created = created + 1 end
call('HSET', key, 'v', '1', 'created', int(created), 'user', user, 'name', name, 'rule', rule, 'template', template,
  'digest', digest)
call('ZADD', SCHEDULES, int(created), id)
if tick == '' then
  call('HSET', key, 'paused', '1')
  call('ZREM', TICKS, id)
else
  call('ZADD', TICKS, tick, id)
end
return 'created'
