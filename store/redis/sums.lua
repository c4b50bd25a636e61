-- Reads the sums of an org. ARGV: nothing, or a week. Answers how many events there are, how many amendments, and the hash of what there are sums of; or of
-- a week the number of its events that have sums, how often its log was written anew, and the log.
if #ARGV == 0 then return { redis.call('HLEN', base .. ':i'), redis.call('HGET', base .. ':m', 'v') or '0', redis.call('HGETALL', base .. ':s') } end
local known = redis.call('HMGET', base .. ':s', ARGV[1], 'g' .. ARGV[1])
return { known[1] or '0', known[2] or '0', redis.call('GET', base .. ':s:' .. ARGV[1]) or '' }
