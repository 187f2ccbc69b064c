#!lua flags=no-writes,allow-oom
-- Ids of jobs, newest first, from one look: of one user or of all ('' = all), in the states given or in all.
-- `before`: creation of the last job seen, 0 = begin with the newest. At most `most` ids are looked at.
-- Items: state
-- Result: { { id, created, id, created, ... }, cursor }; cursor = the last creation looked at, '' = there is no more. Emits: nothing.
local prefix = ARGV[1]
local user = ARGV[2]
local before = ARGV[3]
local most = tonumber(ARGV[4])
-- include: base

local states = {}
for i = ITEMS, #ARGV do states[#states + 1] = ARGV[i] end
local upper = before == '0' and '+inf' or '(' .. before

local function newest(key) return call('ZREVRANGEBYSCORE', key, upper, '-inf', 'WITHSCORES', 'LIMIT', 0, most) end

local function is_wanted(id)
  if #states == 0 then return true end
  for _, state in ipairs(states) do
    if call('ZSCORE', state_key(state), id) then return true end
  end
  return false
end

local function of_user()
  local found, ids = newest(X .. 'user:' .. user), {}
  for i = 1, #found, 2 do
    if is_wanted(found[i]) then
      ids[#ids + 1] = found[i]
      ids[#ids + 1] = found[i + 1]
    end
  end
  return ids, #found == 2 * most and found[#found] or ''
end

-- Every state has its own index; the newest of their heads is next.
local function of_all()
  if #states == 0 then states = STATES end
  local lists, heads, ids, seen = {}, {}, {}, {}
  for n, state in ipairs(states) do lists[n], heads[n] = newest(state_key(state)), 1 end
  while #ids < 2 * most do
    local best
    for n, list in ipairs(lists) do
      local score = tonumber(list[heads[n] + 1])
      if score and (not best or score > tonumber(lists[best][heads[best] + 1])) then best = n end
    end
    if not best then return ids, '' end
    local id = lists[best][heads[best]]
    -- Until the cleanup comes by, a job that a stock tool moved stands in two states.
    if not seen[id] then
      seen[id] = true
      ids[#ids + 1] = id
      ids[#ids + 1] = lists[best][heads[best] + 1]
    end
    heads[best] = heads[best] + 2
  end
  return ids, ids[#ids]
end

if user ~= '' then return { of_user() } end
return { of_all() }
