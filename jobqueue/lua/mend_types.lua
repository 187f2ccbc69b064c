#!lua flags=allow-oom
-- Scripts fail at a key of another type, and those who have nothing to do with it wait too: it goes aside.
-- Items: key type
-- Result: the number of such keys. Errors: CLEANUP_SUPERSEDED. Emits: nothing.
local prefix = ARGV[1]
local term = ARGV[2]
local hold = tonumber(ARGV[3])
-- include: leader
-- include: key_aside

if is_superseded() then return refuse('CLEANUP_SUPERSEDED', 'another server cleans up') end
local moved = 0
for i = ITEMS, #ARGV, 2 do
  if put_aside(ARGV[i], ARGV[i + 1]) then moved = moved + 1 end
end
return moved
