#!lua flags=allow-oom
-- What a health check asks: a Redis whose disk is full still answers every reader.
-- Result: 1, when the write was taken. Emits: nothing.
local prefix = ARGV[1]
-- include: base

call('HSET', META, 'checked', int(now))
return 1
