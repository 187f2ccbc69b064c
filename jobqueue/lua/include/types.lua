-- Job types that have a limit of their own or are paused ("controlled" types). Their jobs wait in a line for each user and
-- type, so that they stand before nobody who may run, and need a place of their type besides the one of their user.
-- Needs: limits.
-- Exports: line_key lines_key places_key waiters_key free_places close_line wait_by_type takes_place
function line_key(user, job_type) return X .. 'line:' .. user .. ':' .. job_type end
function lines_key(user) return X .. 'lines:' .. user end
function places_key(job_type) return X .. 'places:' .. job_type end
function waiters_key(job_type) return X .. 'waiters:' .. job_type end

function free_places(job_type) return type_limit(job_type) - call('SCARD', places_key(job_type)) end

function close_line(user, job_type)
  call('SREM', lines_key(user), job_type)
  call('ZREM', waiters_key(job_type), user)
end

function wait_by_type(user, job_type, id, score)
  call('ZADD', line_key(user, job_type), score, id)
  call('SADD', lines_key(user), job_type)
  call('ZADD', waiters_key(job_type), 'NX', 0, user)
end

-- Whether a job that stands in the queue may start as far as its type is concerned; it holds a place then.
function takes_place(id, job_type)
  local limit = type_limit(job_type)
  if not limit then return true end
  local held = call('SCARD', places_key(job_type))
  -- After a limit was lowered there are more places given than there should be.
  if call('SISMEMBER', places_key(job_type), id) == 1 then return held <= limit end
  if held >= limit then return false end
  call('SADD', places_key(job_type), id)
  return true
end
