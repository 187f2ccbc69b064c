-- Who waits for the jobs that have ended in this call: most have nobody. `most`: records to look at.
-- Needs: slots, ends.
-- Loads: dependents.
local function release_dependents(most)
  if #ended == 0 or not have_dependents(ended) then return end
  load_dependents()
  release_each(ended, most)
  ended = {}
end
