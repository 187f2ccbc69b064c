-- A job's record. Beside RQ's own fields it has three packed ones, because what a call costs is how many fields it looks
-- up and writes (all fields: jobqueue/README.md):
--   x_core  what never changes, \31 between: user limiter queue type created result_ttl failure_ttl max_attempts
--           max_lost timeout priority flags; limiter is + for the user's own, priority is empty for normal (a value
--           under 65 bytes keeps the hash compact on a Redis with default settings); flags: 1 RQ gave the waiting job a
--           `ttl`, c it has RQ's callbacks, r RQ's Repeat (last, if any)
--   x_run   what executions leave behind, spaces between: exec attempt fence failures losses ran restarts stopping
--   x_mark  our last word: status seq status_seq
-- Needs: base, states.
-- Exports: job NONE CORE_HEAD RUN LONGEST_TIME MOST_COUNTED REPEATS FRESH_RUN limiter_of pack_core pack_run read_core move_state
NONE = '-'
CORE_HEAD = '^([^\31]*)\31([^\31]*)\31([^\31]*)\31([^\31]*)\31(%d+)\31(%-?%d+)\31'
local CORE_TAIL = '(%-?%d+)\31(%d+)\31(%d+)\31(%-?%d+)\31([^\31]*)\31([^\31]*)$'
-- More digits than any time or counter of ours has: Lua would write them in another way than it reads them.
LONGEST_TIME = 18
MOST_COUNTED = 1e9
RUN = '^(%S+) (%d+) (%d+) (%d+) (%d+) (%d+) (%d+) (%S+)$'
REPEATS = string.byte('r')
FRESH_RUN = '- 0 0 0 0 0 0 -'

function limiter_of(user, packed)
  if packed == '+' then return 'user:' .. user end
  return packed ~= '' and packed or nil
end

function pack_core(f)
  local limiter = f.limiter == 'user:' .. f.user and '+' or f.limiter or ''
  return table.concat({ f.user, limiter, f.queue, f.type, f.created, f.result_ttl, f.failure_ttl, f.max_attempts,
    f.max_lost, f.timeout, f.priority == 'normal' and '' or f.priority, f.flags }, '\31')
end

function pack_run(f)
  return table.concat({ f.exec or NONE, f.attempt, f.fence, f.failures, f.losses, f.ran, f.restarts, f.stopping or NONE }, ' ')
end

function read_core(f, text)
  local limiter
  f.user, limiter, f.queue, f.type, f.created, f.result_ttl, f.failure_ttl, f.max_attempts, f.max_lost, f.timeout,
    f.priority, f.flags = string.match(text, CORE_HEAD .. CORE_TAIL)
  f.limiter = limiter_of(f.user, limiter)
  if f.created and #f.created > LONGEST_TIME then f.created = nil end
end

local function read_run(f, text)
  local exec, attempt, fence, failures, losses, ran, restarts, stopping = string.match(text or FRESH_RUN, RUN)
  f.exec = exec ~= NONE and exec or nil
  f.stopping = stopping ~= NONE and stopping or nil
  f.attempt, f.failures, f.losses = tonumber(attempt), tonumber(failures), tonumber(losses)
  f.restarts, f.fence, f.ran = tonumber(restarts), fence, ran
  if not exec or f.attempt + f.failures + f.losses + f.restarts > MOST_COUNTED or #fence > LONGEST_TIME
    or #ran > LONGEST_TIME then
    f.attempt = nil
  end
end

-- Everything about a job, by name; nil when there is no record. Without x_core it is a stock job that we never met.
-- `damaged`: the field in which nobody can read what is needed to go on with it.
function job(id, ...)
  local values = read_fields(id, 'status', 'x_core', 'x_run', 'x_mark', 'x_retry', ...)
  if not values[1] then return nil end
  local f = { status = values[1], retry = values[5] }
  for n, name in ipairs({ ... }) do f[name] = values[n + 5] end
  if values[2] then read_core(f, values[2]) end
  read_run(f, values[3])
  f.damaged = values[2] and not f.created and 'x_core' or not f.attempt and 'x_run' or not STATE[f.status] and 'status' or nil
  f.last, f.seq, f.status_seq = string.match(values[4] or '', '^(%S+) (%d+) (%d+)$')
  -- A retry that waits for its back-off is scheduled in RQ's words and pending for our users.
  f.state = (f.status == 'scheduled' and f.retry) and 'pending' or STATE[f.status] or 'pending'
  return f
end

function move_state(id, from, to, created)
  call('ZREM', state_key(from), id)
  call('ZADD', state_key(to), created, id)
end
