#!lua flags=no-writes,allow-oom
-- Limits and pauses in force, from one look.
-- Result: { total, per_user, limits, types, paused, suspended }; the three in the middle are hashes. Emits: nothing.
local prefix = ARGV[1]
-- include: limits

return { TOTAL, PER_USER, call('HGETALL', LIMITS), call('HGETALL', X .. 'types'), call('HGETALL', PAUSED),
  call('EXISTS', P .. ':suspended') }
