-- Progress as a record tells it. Needs: base.
-- Exports: fraction
-- Whoever wrote it: an event with anything else than a number would be read by nobody.
function fraction(text)
  local value = tonumber(text)
  return value and value > 0 and value <= 1 and value or 0
end
