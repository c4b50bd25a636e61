-- Finds one event. KEYS[1] is the base of the org's keys. ARGV: "id" and the field of the id, or "key", the hash of the key, an
-- instant and a fingerprint. Answers nothing, or "e" (an id), "r" (a key) or "m" (a key with another fingerprint), and the record.
if ARGV[1] == 'id' then
  local loc = redis.call('HGET', base .. ':i', ARGV[2])
  return loc and { 'e', record(loc) } or {}
end
local at, latest = tonumber(ARGV[3]), nil
for g in string.gmatch(redis.call('HGET', base .. ':m', 'b') or '', '%S+') do
  if tonumber(g) >= math.floor(at / bucket) then
    local found = redis.call('HGET', base .. ':k:' .. g, ARGV[2])
    if found then
      local expires = struct.unpack('>I6', found, 7) - bias
      if not latest or expires > latest.expires then latest = { expires = expires, found = found } end
    end
  end
end
if not latest or at >= latest.expires then return {} end
return { string.sub(latest.found, 13, 28) == ARGV[4] and 'r' or 'm', record(string.sub(latest.found, 1, 6)) }
