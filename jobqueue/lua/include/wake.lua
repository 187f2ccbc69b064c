-- Workers that found the global limit reached sleep until somebody frees a slot and leaves it free.
-- Needs: running. `before`: running executions when the call began.
local function wake_waiting(before)
  if before < TOTAL or running_now() >= TOTAL then return end
  call('PUBLISH', X .. 'wake', '1')
end
