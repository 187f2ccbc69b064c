-- A stock worker changes a record without a word: index and watchers follow it on its way to the end. A way back is no
-- worker's doing, and of what we run ourselves our own workers tell.
-- Needs: record, ends, fraction.
local function follow(id)
  local f = job(id, 'x_progress')
  local token = id .. ':' .. (f.exec or '')
  if f.damaged or not f.created or call('ZSCORE', LEASES, token) or call('ZSCORE', STOPPING, token) then return end
  for _, state in ipairs(STATES) do call('ZREM', state_key(state), id) end
  call('ZADD', state_key(f.state), f.created, id)
  call('HSET', job_key(id), 'x_mark', mark(f.status))
  changed(id, f.state, f.state == 'completed' and 1 or fraction(f.x_progress), f.user, f.type)
  if ENDED[f.state] then note_end(id) end
end

local AHEAD = { pending = 0, scheduled = 0, running = 1, completed = 2, failed = 2, cancelled = 2 }

local function is_ahead(status, last)
  local now_in, was_in = STATE[status], STATE[last]
  return now_in and was_in and (AHEAD[now_in] > AHEAD[was_in] or ENDED[was_in] and ENDED[now_in] and now_in ~= was_in)
end
