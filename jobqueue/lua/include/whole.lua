-- Whole numbers that others wrote. Needs: record.
-- Exports: whole
-- As text, for Lua would write a longer one in another way than it reads it.
function whole(text, default)
  return text and #text <= LONGEST_TIME and string.match(text, '^%-?%d+$') or default
end
