-- Whether others have written a status over our last word. Needs: states.
-- Exports: differs
function differs(status, last)
  local now_in, was_in = STATE[status], STATE[last]
  return now_in and was_in and (now_in ~= was_in or status == 'stopped' and last == 'canceled')
end
