-- Writes API keys. KEYS[2] is the hash of them all. ARGV: "put", the id, the key, a mark of this call and the set of the ids of its org; or
-- "revoke", the id and an instant. Answers the key as it is stored, when it was revoked or nothing, and whether this call has stored it.
local function stored(id) return redis.call('HGET', KEYS[2], id), redis.call('HGET', KEYS[2], id .. ':revoked') or '' end
if ARGV[1] == 'put' then
  local key, revoked = stored(ARGV[2])
  if key then
    local same = redis.call('HGET', KEYS[2], ARGV[2] .. ':mark') == ARGV[4]
    return { key, revoked, same and 'created' or 'taken' }
  end
  redis.call('HSET', KEYS[2], ARGV[2], ARGV[3], ARGV[2] .. ':mark', ARGV[4])
  redis.call('SADD', base .. ARGV[5], ARGV[2])
  return { ARGV[3], '', 'created' }
end
local key, revoked = stored(ARGV[2])
if not key then return {} end
if revoked == '' then
  revoked = ARGV[3]
  redis.call('HSET', KEYS[2], ARGV[2] .. ':revoked', revoked)
end
return { key, revoked, 'revoked' }
