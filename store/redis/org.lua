-- Stores an org if its version is still the one that it was made from. KEYS[2] is the org. ARGV: that version (0: there is none), the new
-- one, a mark of this update, the settings, and the changes for the history. Answers "ok", or "changed" if somebody was faster.
-- The mark tells a call that is made again, because its answer was lost, from somebody else's.
local now = redis.call('HMGET', KEYS[2], 'version', 'mark')
if now[2] == ARGV[3] then return 'ok' end
if (now[1] or '0') ~= ARGV[1] then return 'changed' end
redis.call('HSET', KEYS[2], 'version', ARGV[2], 'mark', ARGV[3], 'settings', ARGV[4])
for i = 5, #ARGV do redis.call('RPUSH', base .. ':h', ARGV[i]) end
return 'ok'
