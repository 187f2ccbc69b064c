#!lua flags=allow-oom
-- Ids of schedules, newest first: of one user or of all ('' = all). `before`: creation of the last one seen, 0 = begin with
-- the newest. At most `most` are looked at.
-- Result: { { id, created, id, created, ... }, cursor }; cursor = the last creation looked at, '' = there is no more.
-- Emits: nothing.
local prefix = ARGV[1]
local user = ARGV[2]
local before = ARGV[3]
local most = tonumber(ARGV[4])
-- include: schedules

local upper = before == '0' and '+inf' or '(' .. before
local found = call('ZREVRANGEBYSCORE', SCHEDULES, upper, '-inf', 'WITHSCORES', 'LIMIT', 0, most)
local ids = {}
for n = 1, #found, 2 do
  if user == '' or read_schedule(found[n], 'user')[1] == user then
    ids[#ids + 1] = found[n]
    ids[#ids + 1] = found[n + 1]
  end
end
return { ids, #found == 2 * most and found[#found] or '' }
