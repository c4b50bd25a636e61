-- Appends entries of one org, in order, as one step. KEYS[1] is the base of the org's keys, which share its hash slot.
-- ARGV: the number of entries, then for each of them
--   >dddddddB  At, occurred, received, expiry of the key (Unix ms), cap in two limbs, month as year * 12 + month - 1, flags (1: test)
--   the field of its id
--   the field of its key (20 bytes) and its fingerprint (16 bytes), or nothing
--   its record
-- Lua does not roll back, so everything is read and decided before the first write, and no write after it can fail for what is in
-- the data. Numbers of Lua are doubles: counters that may be larger are compared in two limbs and added by Redis.
-- Answers a string with a letter for each entry, and then in order what the letters need:
--   c created   q refused by the cap   o the counter is full
--   s the id is stored, r the key replays, m it does with another fingerprint: the record
--   S R M the same, of an entry of this group: its number
local n = tonumber(ARGV[1])
local week, full, limb = 604800000, 8000, 10000000000

local function limbs(s)
  if not s then return 0, 0 end
  if #s <= 10 then return 0, tonumber(s) end
  return tonumber(string.sub(s, 1, -11)), tonumber(string.sub(s, -10))
end

-- What is there already.
local ats, ids, keys, keyOf, earliest = {}, {}, {}, {}, nil
for i = 1, n do
  local p = 4 * i - 2
  local at = struct.unpack('>d', ARGV[p])
  ats[i], ids[i] = at, ARGV[p + 1]
  if ARGV[p + 2] ~= '' then
    keys[#keys + 1] = string.sub(ARGV[p + 2], 1, 20)
    keyOf[i] = keys[#keys]
    if not earliest or at < earliest then earliest = at end
  end
end
local known = redis.call('HMGET', base .. ':i', unpack(ids))
local meta = redis.call('HMGET', base .. ':m', 'n', 'b', 'so', 'sr')
local holders, live = {}, {}
if meta[2] then
  for g in string.gmatch(meta[2], '%S+') do live[#live + 1] = tonumber(g) end
end
if #keys > 0 then
  for _, g in ipairs(live) do
    if g >= math.floor(earliest / bucket) then
      local found = redis.call('HMGET', base .. ':k:' .. g, unpack(keys))
      for j = 1, #keys do
        if found[j] then
          -- Of two records of one key the later claim is the one that expires later.
          local expires = struct.unpack('>I6', found[j], 7) - bias
          local before = holders[keys[j]]
          if not before or expires > before.expires then
            holders[keys[j]] = { expires = expires, loc = string.sub(found[j], 1, 6), print = string.sub(found[j], 13, 28) }
          end
        end
      end
    end
  end
end

-- What becomes of each entry.
local letters, extras, planned, created, used = {}, {}, {}, {}, {}
for i = 1, n do
  local p = 4 * i - 2
  local at, occurred, received, expires, capHigh, capLow, month, flags = struct.unpack('>dddddddB', ARGV[p])
  local key, letter = keyOf[i], nil
  local holder = key and holders[key]
  if known[i] then
    letter, extras[#extras + 1] = 's', record(known[i])
  elseif created[ids[i]] then
    letter, extras[#extras + 1] = 'S', tostring(created[ids[i]])
  elseif holder and at < holder.expires then
    local same = holder.print == string.sub(ARGV[p + 2], 21)
    if holder.entry then
      letter, extras[#extras + 1] = same and 'R' or 'M', tostring(holder.entry)
    else
      letter, extras[#extras + 1] = same and 'r' or 'm', record(holder.loc)
    end
  else
    local count
    if flags % 2 == 0 then
      count = used[month]
      if not count then
        local high, low = limbs(redis.call('HGET', base .. ':u', month))
        count = { high = high, low = low, added = 0 }
        used[month] = count
      end
      if (capHigh > 0 or capLow > 0) and (count.high > capHigh or count.high == capHigh and count.low >= capLow) then
        letter = 'q'
      elseif count.high > 922337203 or count.high == 922337203 and count.low >= 6854775807 then
        letter = 'o'
      end
    end
    if not letter then
      letter = 'c'
      if count then
        count.added, count.low = count.added + 1, count.low + 1
        if count.low >= limb then count.high, count.low = count.high + 1, count.low - limb end
      end
      created[ids[i]] = i
      if key then holders[key] = { expires = expires, print = string.sub(ARGV[p + 2], 21), entry = i } end
      planned[#planned + 1] = { i = i, occurred = occurred, received = received, expires = expires, week = math.floor(occurred / week) }
    end
  end
  letters[i] = letter
end

if #planned == 0 then return { table.concat(letters), unpack(extras) } end

-- Where the new ones go: to the open chunk of the week in which they occurred, so that a chunk spans no more than a week either way.
local last, tails, closed = tonumber(meta[1] or 0), {}, {}
for _, e in ipairs(planned) do
  local body = ARGV[4 * e.i + 1]
  local tail = tails[e.week]
  if not tail then
    local text = redis.call('HGET', base .. ':m', 't' .. e.week)
    if text then
      local v = {}
      for word in string.gmatch(text, '%S+') do v[#v + 1] = tonumber(word) end
      tail = { chunk = v[1], stored = v[2], size = v[2], from = v[3], to = v[4], first = v[5], latest = v[6], parts = {} }
      tails[e.week] = tail
    end
  end
  if tail and (tail.size > 0 and tail.size + #body > full or
      math.max(tail.latest, e.received) - math.min(tail.first, e.received) > week) then
    closed[#closed + 1], tail = tail, nil
  end
  if not tail then
    last = last + 1
    tail = { chunk = last, stored = 0, size = 0, from = e.occurred, to = e.occurred, first = e.received, latest = e.received, parts = {}, changed = 15 }
    tails[e.week] = tail
  end
  e.loc = struct.pack('>I4I2', tail.chunk, tail.size)
  tail.parts[#tail.parts + 1] = body
  tail.size = tail.size + #body
  if e.occurred < tail.from then tail.from, tail.moved = e.occurred, true end
  if e.occurred > tail.to then tail.to, tail.moved = e.occurred, true end
  if e.received < tail.first then tail.first, tail.moved = e.received, true end
  if e.received > tail.latest then tail.latest, tail.moved = e.received, true end
end

-- From here on it is written.
local spanOccurred, spanReceived = tonumber(meta[3] or 0), tonumber(meta[4] or 0)
local set = { 'n', last }
local function whole(number) return string.format('%.0f', number) end
local function write(tail, isClosed)
  if #tail.parts == 0 then return end
  local key, text = base .. ':e:' .. tail.chunk, table.concat(tail.parts)
  if tail.stored == 0 then
    redis.call('SET', key, text)
  elseif isClosed then
    redis.call('SET', key, redis.call('GET', key) .. text) -- APPEND leaves room for more, up to as much again
  else
    redis.call('APPEND', key, text)
  end
  if tail.moved or tail.stored == 0 then
    redis.call('ZADD', base .. ':of', whole(tail.from), tail.chunk)
    redis.call('ZADD', base .. ':ot', whole(tail.to), tail.chunk)
    redis.call('ZADD', base .. ':rf', whole(tail.first), tail.chunk)
    redis.call('ZADD', base .. ':rt', whole(tail.latest), tail.chunk)
    spanOccurred, spanReceived = math.max(spanOccurred, tail.to - tail.from), math.max(spanReceived, tail.latest - tail.first)
  end
end
for _, tail in ipairs(closed) do write(tail, true) end
for w, tail in pairs(tails) do
  write(tail, false)
  set[#set + 1] = 't' .. w
  set[#set + 1] = table.concat({ tail.chunk, tail.size, whole(tail.from), whole(tail.to), whole(tail.first), whole(tail.latest) }, ' ')
end

local index, claims, ttls = {}, {}, {}
for _, e in ipairs(planned) do
  index[#index + 1], index[#index + 2] = ids[e.i], e.loc
  local key = keyOf[e.i]
  if key then
    local g = math.floor(e.expires / bucket)
    local claim = claims[g]
    if not claim then claim = {}; claims[g] = claim end
    claim[#claim + 1], claim[#claim + 2] = key, e.loc .. struct.pack('>I6', e.expires + bias) .. string.sub(ARGV[4 * e.i], 21)
    -- Until nobody's clock can be before the end of the bucket: a bucket more.
    ttls[g] = math.max(ttls[g] or 0, (g + 2) * bucket - ats[e.i])
  end
end
redis.call('HSET', base .. ':i', unpack(index))
local buckets, had = {}, {}
for _, g in ipairs(live) do had[g] = true end
for g, claim in pairs(claims) do
  local key = base .. ':k:' .. g
  redis.call('HSET', key, unpack(claim))
  if redis.call('PTTL', key) < ttls[g] then redis.call('PEXPIRE', key, whole(ttls[g])) end
  if not had[g] then
    had[g] = true
    buckets[#buckets + 1] = g
  end
end
if #buckets > 0 then
  for _, g in ipairs(live) do -- those that are gone need not be asked any more
    if claims[g] or redis.call('EXISTS', base .. ':k:' .. g) == 1 then buckets[#buckets + 1] = g end
  end
  set[#set + 1], set[#set + 2] = 'b', table.concat(buckets, ' ')
end
for month, count in pairs(used) do
  if count.added > 0 then redis.call('HINCRBY', base .. ':u', month, count.added) end
end
set[#set + 1], set[#set + 2] = 'so', whole(spanOccurred)
set[#set + 1], set[#set + 2] = 'sr', whole(spanReceived)
redis.call('HSET', base .. ':m', unpack(set))
return { table.concat(letters), unpack(extras) }
