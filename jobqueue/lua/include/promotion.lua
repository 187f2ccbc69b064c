-- Free places are given to those who wait for them.
-- Needs: admission.
-- Exports: promote drop_if_idle unpark leave_parked
function drop_if_idle(limiter)
  if call('EXISTS', allowed_key(limiter), waiting_key(limiter)) > 0 then return end
  if SPECIAL and call('EXISTS', lines_key(user_of(limiter))) == 1 then return end
  call('DEL', P .. ':rl:' .. limiter)
  call('SREM', P .. ':rl-keys', limiter)
end

-- Fills the free places of a limiter from its waiting jobs, best first. At most 500 a call, entries without a job counted
-- too; the tick goes on.
function promote(limiter)
  if SPECIAL then return promote_by_type(limiter) end
  local places = math.min(limit_of(limiter) - call('ZCARD', allowed_key(limiter)), MOST_PROMOTED)
  local looked_at = 0
  while places > 0 and looked_at < MOST_PROMOTED do
    local popped = call('ZPOPMIN', waiting_key(limiter), places)
    if #popped == 0 then break end
    looked_at = looked_at + #popped / 2
    local admitted = {}
    for i = 1, #popped, 2 do
      local id = popped[i]
      local f = read_fields(id, 'status', 'origin', 'enqueue_at_front')
      if f[1] == 'rate_limited' and f[2] then
        admitted[#admitted + 1] = popped[i + 1]
        admitted[#admitted + 1] = id
        if f[3] == '1' then call('LPUSH', queue_key(f[2]), id) else push(f[2], id) end
        unmarked[id] = true
        places = places - 1
      end
    end
    many('ZADD', allowed_key(limiter), admitted)
  end
end

-- Jobs that were admitted but might not run come back to the head of the queue as far as the user has free slots.
function unpark(user)
  local key = X .. 'parked:' .. user
  local slots = math.min(user_limit(user) - call('SCARD', X .. 'live:' .. user), MOST_PROMOTED)
  if slots <= 0 then return end
  local popped = call('ZPOPMIN', key, slots)
  for i = #popped - 1, 1, -2 do
    local origin = read_fields(popped[i], 'origin')[1]
    if origin then call('LPUSH', queue_key(origin), popped[i]) end
  end
  if #popped > 0 and call('EXISTS', key) == 0 then call('SREM', X .. 'parked', user) end
end

function leave_parked(user, id)
  local key = X .. 'parked:' .. user
  local found = call('ZREM', key, id)
  if found == 1 and call('EXISTS', key) == 0 then call('SREM', X .. 'parked', user) end
  return found
end
