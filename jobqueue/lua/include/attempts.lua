-- What became of earlier attempts of a job, in its record: a line of JSON each, the newest last. The last attempt of a job
-- that runs or has ended is not among them: the record itself tells of it.
-- Needs: base.
-- Exports: note_attempt
local MOST_ATTEMPTS = 20
local MOST_ERROR = 500
local MOST_BYTES = 100000

-- `f.attempt` and `f.fence` are the attempt's own.
function note_attempt(id, f, outcome, error, ended_at)
  local seen = call('HMGET', job_key(id), 'x_history', 'worker_name')
  local line = cjson.encode({ f.restarts, f.attempt, seen[2] or '', iso(tonumber(f.fence)), ended_at or iso(now), outcome,
    string.sub(error or '', 1, MOST_ERROR) })
  local text = seen[1] and string.sub(seen[1], -MOST_BYTES) .. '\n' .. line or line
  local _, earlier = string.gsub(text, '\n', '')
  -- The last attempt stands in the record.
  for _ = MOST_ATTEMPTS - 1, earlier do text = string.match(text, '\n(.*)$') end
  call('HSET', job_key(id), 'x_history', text)
end
