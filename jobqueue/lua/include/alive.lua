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

-- `age`: microseconds since a process's first word to Redis, 0 = this is the first. When nobody else lives then, the system
-- seems to start cold. After an outage of Redis all beats are old, though: whoever lived before the mark takes it back.
local function note_age(age)
  if age == 0 then
    if not somebody_alive() then call('HSET', META, 'cold_start', int(now)) end
  elseif now - age < tonumber(call('HGET', META, 'cold_start') or 0) then
    call('HDEL', META, 'cold_start')
  end
end
