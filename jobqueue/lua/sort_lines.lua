#!lua flags=allow-oom
-- Jobs that waited already when their type got a limit or was paused for the first time go to the line of their type, so that
-- they stand before nobody: at most `batch` a call, of one user after the other.
-- Result: 1 there is more, else 0. Emits: nothing.
local prefix = ARGV[1]
local batch = tonumber(ARGV[2])
-- include: overtake

local UNSORTED = X .. 'unsorted'

local function sort_line(limiter, from)
  local found = call('ZRANGEBYSCORE', waiting_key(limiter), from, '+inf', 'WITHSCORES', 'LIMIT', 0, batch)
  for i = 1, #found, 2 do
    local best = { id = found[i], score = tonumber(found[i + 1]) }
    if sort_out(limiter, best, read_fields(best.id, 'x_core')[1]) then call('ZREM', waiting_key(limiter), best.id) end
  end
  -- Whatever has the same score as the last is sorted out when it comes to the head of the line.
  if #found == 2 * batch then return call('HSET', UNSORTED, limiter, '(' .. found[#found]) end
  call('HDEL', UNSORTED, limiter)
end

local limiter = call('HRANDFIELD', UNSORTED)
if not limiter then return 0 end
sort_line(limiter, call('HGET', UNSORTED, limiter))
note_entered(limiter, math.huge)
admit_entered()
mark_queued()
return call('EXISTS', UNSORTED)
