-- Stores an org if its version is still the one that it was made from. KEYS[2] is the org. ARGV: that version (0: there is none), the new
-- one, a mark of this update, for how long that is kept (ms), the settings, and the changes for the history. Answers "ok", or "changed"
-- if somebody was faster. The mark tells a call that is made again, because its answer was lost, from somebody else's, also when
-- others have updated the org since.
local mark = base .. ':w:' .. ARGV[3]
if redis.call('EXISTS', mark) == 1 then return 'ok' end
if (redis.call('HGET', KEYS[2], 'version') or '0') ~= ARGV[1] then return 'changed' end
redis.call('HSET', KEYS[2], 'version', ARGV[2], 'settings', ARGV[5])
redis.call('SET', mark, '', 'PX', ARGV[4])
for i = 6, #ARGV do redis.call('RPUSH', base .. ':h', ARGV[i]) end
return 'ok'
