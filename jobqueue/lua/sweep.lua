#!lua flags=allow-oom
-- Repairs what no transition sees: jobs of stock producers join our index, and users get the places that a raised limit
-- or a stock tool left free. Looks at `batch` users, and at the newest entries of each queue and registry.
-- Result: { adopted, cursor }; pass the cursor to the next call, 0 = the round is complete. Emits: all states.
local prefix = ARGV[1]
local interval = tonumber(ARGV[2])
local cursor = ARGV[3]
local batch = tonumber(ARGV[4])
-- include: base
-- include: throttle
-- include: events
-- include: limits
-- include: admission
-- include: record
-- include: adopt

local adopted = 0

local function meet(id, queue)
  local values = read_fields(id, 'status', 'x_core')
  if values[2] or not values[1] then return end
  adopt(id, queue)
  adopted = adopted + 1
end

local function meet_all(queue)
  -- Producers push at the tail: from there back, as long as a page has jobs that are new to us.
  local last = -1
  repeat
    local before = adopted
    for _, id in ipairs(call('LRANGE', queue_key(queue), last - batch + 1, last)) do meet(id, queue) end
    last = last - batch
  until adopted == before or adopted >= 10 * batch
  for _, registry in ipairs({ 'finished', 'failed', 'canceled', 'scheduled', 'deferred' }) do
    for _, id in ipairs(call('ZREVRANGE', P .. ':' .. registry .. ':' .. queue, 0, batch - 1)) do meet(id, queue) end
  end
  for _, token in ipairs(call('ZREVRANGE', P .. ':wip:' .. queue, 0, batch - 1)) do
    meet(string.match(token, '^(.*):[^:]*$') or token, queue)
  end
end

if too_soon('sweep_throttle', interval) then return { 0, cursor } end
for _, key in ipairs(call('SMEMBERS', P .. ':queues')) do meet_all(string.sub(key, #P + 8)) end
for _, user in ipairs(call('SMEMBERS', X .. 'parked')) do unpark(user) end
local page = call('SSCAN', P .. ':rl-keys', cursor, 'COUNT', batch)
for _, limiter in ipairs(page[2]) do
  for _, id in ipairs(call('ZRANGE', waiting_key(limiter), -batch, -1)) do meet(id, 'default') end
  promote(limiter)
  drop_if_idle(limiter)
end
flush_pushed()
mark_queued()
if running_now() < TOTAL then call('PUBLISH', X .. 'wake', '1') end
publish()
return { adopted, page[1] }
