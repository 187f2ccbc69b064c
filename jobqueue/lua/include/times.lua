-- How long jobs of a type run, in the mean over the last few dozen: `mean count`, microseconds. Needs: base.
-- Exports: note_time write_times
local MEMORY = 50
local times = {}

function note_time(job_type, ran)
  if job_type == '' then return end
  local sum = times[job_type] or { 0, 0 }
  sum[1], sum[2] = sum[1] + math.max(0, ran), sum[2] + 1
  times[job_type] = sum
end

function write_times()
  for job_type, sum in pairs(times) do
    local mean, count = string.match(call('HGET', X .. 'times', job_type) or '', '^(%d+) (%d+)$')
    local seen = math.min(tonumber(count or 0), MEMORY)
    mean = ((mean or 0) * seen + sum[1]) / (seen + sum[2])
    call('HSET', X .. 'times', job_type, int(mean) .. ' ' .. math.min(seen + sum[2], MEMORY))
  end
end
