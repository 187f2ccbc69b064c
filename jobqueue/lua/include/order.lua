-- Needs: base.
-- A time that no other job has, so that it can order and page.
local function unique_times(count)
  local last = tonumber(call('HGET', META, 'clock') or 0)
  local first = math.max(now, last + 1)
  call('HSET', META, 'clock', int(first + count - 1))
  return first
end
