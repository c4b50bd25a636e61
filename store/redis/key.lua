-- Writes API keys. KEYS[2] is the hash of them all. ARGV: "put", the id, the key, a mark of this call, the set of the ids of its org, and when
-- the key was revoked and when it was used last, each of them or nothing; or "revoke" or "touch", the id and an instant. Answers the key as
-- it is stored, when it was revoked and when it was used last, each of them or nothing, and whether this call has stored it.
local id = ARGV[2]
local function field(name) return redis.call('HGET', KEYS[2], id .. name) end
local function set(name, value)
  if value ~= '' then redis.call('HSET', KEYS[2], id .. name, value) end
end
local key, revoked, used = field(''), field(':revoked') or '', field(':used') or ''
if ARGV[1] == 'put' then
  if key then return { key, revoked, used, field(':mark') == ARGV[4] and 'created' or 'taken' } end
  redis.call('HSET', KEYS[2], id, ARGV[3], id .. ':mark', ARGV[4])
  set(':revoked', ARGV[6])
  set(':used', ARGV[7])
  redis.call('SADD', base .. ARGV[5], id)
  return { ARGV[3], ARGV[6], ARGV[7], 'created' }
end
if not key then return {} end
if ARGV[1] == 'revoke' and revoked == '' then
  revoked = ARGV[3]
  set(':revoked', revoked)
elseif ARGV[1] == 'touch' and (used == '' or tonumber(ARGV[3]) > tonumber(used)) then
  used = ARGV[3]
  set(':used', used)
end
return { key, revoked, used, 'there' }
