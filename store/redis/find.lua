-- Finds one event. KEYS[1] is the base of the org's keys. ARGV: "id" and the field of the id, or "key", the hash of the key, an
-- instant and a fingerprint. Answers nothing, or "e" (an id), "r" (a key) or "m" (a key with another fingerprint), and the record; after that of an
-- id its amendments.
if ARGV[1] == 'id' then
  local loc = redis.call('HGET', base .. ':i', ARGV[2])
  if not loc then return {} end
  local amendments = amended(loc, ARGV[2])
  if not amendments then return { 'e', '' } end
  return { 'e', record(loc), unpack(amendments) }
end
local at, holder = tonumber(ARGV[3]), nil
for g in string.gmatch(redis.call('HGET', base .. ':m', 'b') or '', '%S+') do
  if tonumber(g) >= math.floor(at / bucket) then
    local found = redis.call('HGET', base .. ':k:' .. g, ARGV[2])
    if found then holder = later(holder, record(found)) end
  end
end
if not holder then return {} end
if holder == '' then return { 'r', '' } end
if at + bias >= expiry(holder) then return {} end
return { fingerprint(holder) == ARGV[4] and 'r' or 'm', holder }
