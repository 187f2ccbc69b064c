-- Whether any process of the system was heard of in the last minute. Needs: base.
local function somebody_alive()
  local since = int(now - 60000000)
  if call('ZCOUNT', X .. 'servers', since, '+inf') > 0 then return true end
  for _, key in ipairs(call('SMEMBERS', P .. ':workers')) do
    local beat = call('HGET', X .. 'worker:' .. string.sub(key, #P + 9), 'beat')
    -- A stock worker has no beat of ours, and its hash expires when it is dead.
    if beat and tonumber(beat) >= now - 60000000 or not beat and call('EXISTS', key) == 1 then return true end
  end
  return false
end

-- `starting`: the first word of a process. When nobody else lives the system starts cold, which the next cleanup is told.
local function note_start(starting)
  if starting == '1' and not somebody_alive() then call('HSET', META, 'cold_start', int(now)) end
end
