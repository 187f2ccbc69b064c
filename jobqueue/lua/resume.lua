#!lua flags=allow-oom
-- What was paused goes on: see `pause`.
-- Result: 1, or 0 when it was not paused. Emits: nothing.
local prefix = ARGV[1]
local kind = ARGV[2]
local name = ARGV[3]
-- include: control

local was_paused
if kind == 'queue' then
  was_paused = call('DEL', P .. ':suspended')
else
  was_paused = call('HDEL', X .. 'paused', kind .. ':' .. name)
  note_special()
end
-- include: let_in
let_in(kind == 'user' and { name } or {}, kind == 'type' and { name } or {})
return was_paused
