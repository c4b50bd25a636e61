-- Puts a log in the place of one that was read, or of its beginning: what was added since stays behind it. ARGV: the week, how often its log had been
-- written anew, how many bytes are replaced, the new log, and by how much the number of events changes that it has sums of. Answers "ok", or "other": somebody
-- else has written it anew, and nothing was written.
local key, again = base .. ':s:' .. ARGV[1], 'g' .. ARGV[1]
if (redis.call('HGET', base .. ':s', again) or '0') ~= ARGV[2] then return 'other' end
local rest = redis.call('GETRANGE', key, ARGV[3], -1)
redis.call('HINCRBY', base .. ':s', again, 1)
redis.call('HINCRBY', base .. ':s', ARGV[1], ARGV[5])
redis.call('SET', key, ARGV[4])
if #rest > 0 then redis.call('APPEND', key, rest) end
return 'ok'
