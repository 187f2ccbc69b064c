-- At most one live job for each unique key of a user. The entry of a job that has ended counts for nothing, so nobody has to
-- take it away at once; the cleanup does. Needs: record.
-- Exports: UNIQUE holder_of
UNIQUE = X .. 'unique'

-- The id and the state of the live job that holds the key, if it is another one than `id`.
function holder_of(token, id)
  local other = call('HGET', UNIQUE, token)
  if not other or other == id then return nil end
  local f = job(other, 'x_unique')
  if not f or ENDED[f.state] or f.x_unique ~= token then return nil end
  return other, f.state
end
