#!lua flags=allow-oom
-- Writes limits. `source` = configured: the last process started wins; `set`: through the API, stays until it is taken back.
-- Items: kind name value (kind: total, per_user, user or type; name: of the user or the type; value '' = taken back)
-- Result: { total, per_user } in force. Emits: nothing; the sweep fills new places of many users, a page a tick.
local prefix = ARGV[1]
local source = ARGV[2]
-- include: control

local users, types = {}, {}

local function set(key, field, value)
  if value == '' then call('HDEL', key, field) else call('HSET', key, field, value) end
end

for i = ITEMS, #ARGV, 3 do
  local kind, name, value = ARGV[i], ARGV[i + 1], ARGV[i + 2]
  if kind == 'type' then
    control(name)
    call('HSET', TYPES, name, value)
    types[#types + 1] = name
  elseif kind == 'user' then
    set(X .. 'limits', 'user:' .. name, value)
    users[#users + 1] = name
  else
    set(X .. 'limits', source == 'set' and kind .. '_set' or kind, value)
  end
end
note_special()
-- include: let_in
let_in(users, types)
return { TOTAL, PER_USER }
