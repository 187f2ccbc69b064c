-- After limits were raised or a pause is over: at most 500 of each user at once, the tick goes on.
-- Needs: promotion.
local function let_in(users, types)
  for _, user in ipairs(users) do
    unpark(user)
    promote('user:' .. user)
  end
  for _, job_type in ipairs(SPECIAL and types or {}) do promote_type(job_type) end
  flush_pushed()
  mark_queued()
  call('PUBLISH', X .. 'wake', '1')
end
