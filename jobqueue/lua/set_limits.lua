#!lua flags=allow-oom
-- Writes limits. `kind` = configured: the last process started wins; `set`: through the API, stays until `reset`.
-- Result: { total, per_user } in force. Emits: nothing; the sweep fills new places, a page of users a tick.
local prefix = ARGV[1]
local kind = ARGV[2]
local total = ARGV[3]
local per_user = ARGV[4]
-- include: base

local key = X .. 'limits'
if kind == 'reset' then
  call('HDEL', key, 'total_set', 'per_user_set')
elseif kind == 'set' then
  call('HSET', key, 'total_set', total, 'per_user_set', per_user)
else
  call('HSET', key, 'total', total, 'per_user', per_user)
end
-- include: limits
return { TOTAL, PER_USER }
