-- What all scripts of the store begin with. KEYS[1] is the base of the org's keys and KEYS[2] one of them. There is never a key of the name
-- of the base itself: so while their slot moves to another node of a cluster, Redis refuses the whole call (TRYAGAIN)
-- before it runs, and not in its middle when it meets a key that is not here.
local base = KEYS[1]
local bucket, bias = 21600000, 140737488355328 -- of idempotency keys by their expiry, in ms; of instants in six bytes

-- record returns the record at a place, a chunk in 4 bytes and an offset in 2; nothing if the chunk is gone.
local function record(place)
  local chunk, at = struct.unpack('>I4I2', place)
  local key = base .. ':e:' .. chunk
  local head = redis.call('GETRANGE', key, at, at + 2)
  if #head < 3 then return '' end
  return redis.call('GETRANGE', key, at, at + 2 + struct.unpack('>I3', head))
end

-- amended returns the amendments of an event, the oldest first, and how many bytes its chunk has of them in all; nothing if they are gone. They
-- are one after the other in a string for each chunk: in 3 bytes the length of id and amendment, in 2 that of the id, and these. How long
-- it has to be is in the hash that every append reads, so that amendments cannot be gone without being missed.
local function amended(place, id)
  local chunk = struct.unpack('>I4', place)
  local meta = redis.call('HMGET', base .. ':m', 'n', 'v' .. chunk)
  if meta[1] and not meta[2] then return {}, 0 end
  local all, list, at = redis.call('GET', base .. ':v:' .. chunk) or '', {}, 1
  if #all ~= tonumber(meta[2] or 0) then return nil end
  while at <= #all do
    local length, name = struct.unpack('>I3I2', all, at)
    if name == #id and string.sub(all, at + 5, at + 4 + name) == id then list[#list + 1] = string.sub(all, at + 5 + name, at + 4 + length) end
    at = at + 5 + length
  end
  return list, #all
end

-- Of a record that claims a key: when the key is free again, as a number, and the fingerprint of its request. Lua compares strings as the locale
-- of the server has it, so instants are never compared as they are written.
local function expiry(body) return (struct.unpack('>I6', body, 17)) end
local function fingerprint(body) return string.sub(body, 23, 38) end

-- later returns which of two records holds their key: the later claim is the one that expires later. One that is gone ('') holds
-- it longest, so that it is noticed.
local function later(one, other)
  if one and (one == '' or other ~= '' and expiry(one) > expiry(other)) then return one end
  return other
end

