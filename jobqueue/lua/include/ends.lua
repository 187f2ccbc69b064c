-- Jobs that have ended in this call: others may wait for them.
-- Needs: base.
local RELEASES, MOST_RELEASED = X .. 'releases', 200

local function dependents_key(id) return job_key(id) .. ':dependents' end

local ended = {}
local function note_end(id) ended[#ended + 1] = id end

local function have_dependents(ids)
  local found = 0
  for first = 1, #ids, 1000 do
    local keys = {}
    for n = first, math.min(first + 999, #ids) do keys[#keys + 1] = dependents_key(ids[n]) end
    found = found + call('EXISTS', unpack(keys))
  end
  return found > 0
end
