-- Appends entries of one org as one step. Those of a section share what is in its numbers, and their ids differ; a section finds what those
-- before it have stored. ARGV, for each section:
--   1 n, the number of entries            2 month of receipt, as year * 12 + month - 1
--   3 1 if they count for the quota       4 5 cap in two limbs; both 0: none
--   6 the week in which they occurred     7 bucket of their keys, or nothing: they have none
--   8 how long that bucket is kept (ms)   9 10 first and last instant of occurrence   11 12 of receipt
--   13 At of each, in six bytes           14 bucket of the earliest of them
--   15 the records, one after the other   16 1 if some keys are of several entries
--   17 first and last instant of occurrence of each of their agents, in twice six bytes   18 whose agent's each entry is: a byte, from 0 on
--   19 what they add to the sums of the week: a block   20 where its cells begin   21 where that of each ends, in three bytes from there
--   then n fields of ids, n of keys if they have any, and one of each agent
-- Redis hashes every string that Lua gets or makes, so the records come as one and are not taken apart.
-- Lua does not roll back, so of a section everything is read and decided before its first write, and nothing after it can fail for what is in the data.
-- Numbers of Lua are doubles: counters are compared in two limbs and added by Redis.
-- Answers c if all are created, C if the log of sums has become long besides, or a letter for each entry, then C if it has, and then in order what the letters need:
--   c created      s the id is stored: the record         r the key replays, m it does with another fingerprint: the record
--   q refused by the cap   o the counter of the month is full
-- or one g: keys of the org are gone, and nothing was written of the section
-- If there are several sections, the answer is the list of theirs, and one that fails does not keep the others from what they have to say.
local full, limb, minute, long = 16000, 10000000000, 60000, 65536
local function whole(number) return string.format('%.0f', number) end
local function limbs(s)
  if not s then return 0, 0 end
  if #s <= 10 then return 0, tonumber(s) end
  return tonumber(string.sub(s, 1, -11)), tonumber(string.sub(s, -10))
end

-- section appends the entries whose arguments begin behind o.
local function section(o)
  local n, records = tonumber(ARGV[o + 1]), ARGV[o + 15]
  local keyed, counted, repeats = ARGV[o + 7] ~= '', ARGV[o + 3] == '1', ARGV[o + 16] == '1'
  local ids, keys, spans = o + 22, o + 22 + n, ARGV[o + 17]
  local agents, names = #spans / 12, keyed and keys + n or keys

  -- What is there already.
  local known = redis.call('HMGET', base .. ':i', unpack(ARGV, ids, ids + n - 1))
  local meta = redis.call('HMGET', base .. ':m', 'n', 'b', 'so', 'sr', 't' .. ARGV[o + 6], 'r', unpack(ARGV, names, names + agents - 1))
  local holders, isLive, live = {}, false, {}
  if keyed then
    for g in string.gmatch(meta[2] or '', '%S+') do
      live[#live + 1] = g
      isLive = isLive or g == ARGV[o + 7]
      if tonumber(g) >= tonumber(ARGV[o + 14]) then
        local found = redis.call('HMGET', base .. ':k:' .. g, unpack(ARGV, keys, keys + n - 1))
        for i = 1, n do
          if found[i] then holders[i] = later(holders[i], record(found[i])) end
        end
      end
    end
  end
  local room
  if counted and (ARGV[o + 4] ~= '0' or ARGV[o + 5] ~= '0') then
    local high, low = limbs(redis.call('HGET', base .. ':u', ARGV[o + 2]))
    room = (tonumber(ARGV[o + 4]) - high) * limb + (tonumber(ARGV[o + 5]) - low)
  end

  -- Where each record begins among those that come.
  local begins, start, unpacked = { 1 }, 1, struct.unpack
  for i = 1, n do
    start = start + 3 + unpacked('>I3', records, start)
    begins[i + 1] = start
  end

  -- What becomes of each entry. Mostly all are new. A holder that is gone ('') still holds its key.
  local letters, extras, accepted, claimed = nil, {}, nil, {} -- accepted: which, or nil for all
  local fresh = not repeats and (not room or room >= n) and next(holders) == nil
  for i = 1, fresh and n or 0 do fresh = fresh and not known[i] end
  if not fresh then
    accepted = {}
    for i = 1, n do
      local holder, letter = holders[i], nil
      if repeats and claimed[ARGV[keys + i - 1]] then
        local by = claimed[ARGV[keys + i - 1]]
        holder = later(holder, string.sub(records, begins[by], begins[by + 1] - 1))
      end
      if known[i] then
        letter, extras[#extras + 1] = 's', record(known[i])
      elseif holder == '' then
        letter, extras[#extras + 1] = 'r', ''
      elseif holder and struct.unpack('>I6', ARGV[o + 13], 6 * i - 5) < expiry(holder) then
        letter = fingerprint(holder) == string.sub(records, begins[i] + 22, begins[i] + 37) and 'r' or 'm'
        extras[#extras + 1] = holder
      elseif room and room <= 0 then
        letter = 'q'
      else
        if room then room = room - 1 end
        accepted[#accepted + 1] = i
        if repeats then claimed[ARGV[keys + i - 1]] = i end
      end
      if letter then
        if not letters then
          letters = {}
          for j = 1, n do letters[j] = 'c' end
        end
        letters[i] = letter
      end
    end
  end
  if accepted and #accepted == n then accepted = nil end
  local stored = accepted and #accepted or n
  if stored == 0 then return { table.concat(letters), unpack(extras) } end
  local last, set, moved = tonumber(meta[1] or 0), {}, { false, false, false, false }

  -- The first and the last instant of each agent, where those that are accepted move them.
  local firsts, lasts = {}, {}
  if not accepted then
    for a = 1, agents do firsts[a], lasts[a] = struct.unpack('>I6I6', spans, 12 * a - 11) end
  else
    for _, i in ipairs(accepted) do
      local a, at = string.byte(ARGV[o + 18], i) + 1, struct.unpack('>I6', records, begins[i] + 10)
      firsts[a], lasts[a] = math.min(firsts[a] or at, at), math.max(lasts[a] or at, at)
    end
  end
  for a = 1, agents do
    if firsts[a] then
      local there, span = meta[6 + a], nil
      if there then
        local since, till = struct.unpack('>I6I6', there)
        span = struct.pack('>I6I6', math.min(since, firsts[a]), math.max(till, lasts[a]))
      else
        span = struct.pack('>I6I6', firsts[a], lasts[a])
      end
      if span ~= there then set[#set + 1], set[#set + 2] = ARGV[names + a - 1], span end
    end
  end
  set[#set + 1], set[#set + 2] = 'r', whole(tonumber(meta[6] or 0) + stored)

  -- New records go to the open chunk of the week in which they occurred, so that chunks span little time. The instants that are
  -- kept of a chunk are those of whole minutes around it, or every call would change them.
  -- A chunk that is not as it was left has lost events (eviction, somebody's DEL): nothing is added, for what comes would take the places of what went.
  local from, to = math.floor(ARGV[o + 9] / minute) * minute, math.ceil(ARGV[o + 10] / minute) * minute
  local first, latest = math.floor(ARGV[o + 11] / minute) * minute, math.ceil(ARGV[o + 12] / minute) * minute
  local tail = {} -- chunk, size, occurred from and to, received from and to
  for word in string.gmatch(meta[5] or '', '%S+') do tail[#tail + 1] = tonumber(word) end
  if #tail == 0 or tail[2] >= full or redis.call('STRLEN', base .. ':e:' .. whole(tail[1])) ~= tail[2] or math.max(tail[6], latest) - math.min(tail[5], first) > 604800000 then
    last = last + 1
    tail, moved = { last, 0, from, to, first, latest }, { true, true, true, true }
  else
    if from < tail[3] then tail[3], moved[1] = from, true end
    if to > tail[4] then tail[4], moved[2] = to, true end
    if first < tail[5] then tail[5], moved[3] = first, true end
    if latest > tail[6] then tail[6], moved[4] = latest, true end
  end
  local chunk = base .. ':e:' .. whole(tail[1])
  if tail[2] == 0 and redis.call('EXISTS', chunk, base .. ':v:' .. whole(tail[1])) > 0
    or not meta[1] and redis.call('EXISTS', base .. ':i') == 1
    or keyed and not isLive and redis.call('EXISTS', base .. ':k:' .. ARGV[o + 7]) == 1 then
    return { 'g' }
  end

  -- From here on it is written. A counter that is full is the one thing in the data that can still refuse, so it comes first. Nor does Redis
  -- itself refuse a write (memory, a replica, the disk) after the first of a script.
  if counted then
    local added = redis.pcall('HINCRBY', base .. ':u', ARGV[o + 2], stored)
    if type(added) == 'table' and added.err then
      if not string.find(added.err, 'overflow', 1, true) then return added end
      if repeats then return { string.rep('o', n) } end -- some replay what is not stored now
      if not accepted then return { string.rep('o', n) } end
      for _, i in ipairs(accepted) do letters[i] = 'o' end
      return { table.concat(letters), unpack(extras) }
    end
  end

  -- What is refused adds nothing to the sums.
  local sums = ARGV[o + 19]
  if accepted then
    local cells, ends, parts = tonumber(ARGV[o + 20]), ARGV[o + 21], {}
    for j, i in ipairs(accepted) do
      local start = i > 1 and struct.unpack('>I3', ends, 3 * i - 5) or 0
      parts[j] = string.sub(sums, cells + start + 1, cells + struct.unpack('>I3', ends, 3 * i - 2))
    end
    sums = string.sub(sums, 5, cells) .. table.concat(parts)
    sums = struct.pack('>I4', #sums) .. sums
  end
  -- Nor may sums keep an event out: where the log can become no longer (proto-max-bulk-len), it lacks them, and as they are not counted either, it is noticed.
  local size, isLong = redis.pcall('APPEND', base .. ':s:' .. ARGV[o + 6], sums), false
  if type(size) == 'number' then
    redis.call('HINCRBY', base .. ':s', ARGV[o + 6], stored)
    isLong = math.floor(size / long) > math.floor((size - #sums) / long)
  end

  local index, claims, open, at, packed = {}, {}, tail[1], tail[2], struct.pack
  if accepted then
    local parts = {}
    for j, i in ipairs(accepted) do
      parts[j] = string.sub(records, begins[i], begins[i + 1] - 1)
      index[2 * j - 1], index[2 * j] = ARGV[ids + i - 1], packed('>I4I2', open, at)
      if keyed then claims[2 * j - 1], claims[2 * j] = ARGV[keys + i - 1], index[2 * j] end
      at = at + #parts[j]
    end
    records = table.concat(parts)
  else
    for i = 1, n do
      local place = packed('>I4I2', open, at + begins[i] - 1)
      index[2 * i - 1], index[2 * i] = ARGV[ids + i - 1], place
      if keyed then claims[2 * i - 1], claims[2 * i] = ARGV[keys + i - 1], place end
    end
  end
  if tail[2] == 0 then
    redis.call('SET', chunk, records)
  else
    redis.call('APPEND', chunk, records)
  end
  if tail[2] > 0 and tail[2] + #records >= full then -- APPEND leaves room for more, up to as much again; a copy has none
    redis.call('COPY', chunk, base .. ':x', 'REPLACE')
    redis.call('RENAME', base .. ':x', chunk)
  end
  for i, name in ipairs({ ':of', ':ot', ':rf', ':rt' }) do
    if moved[i] then redis.call('ZADD', base .. name, whole(tail[i + 2]), whole(tail[1])) end
  end
  local function span(field, was, now)
    if now > tonumber(was or 0) then set[#set + 1], set[#set + 2] = field, whole(now) end
  end
  span('so', meta[3], tail[4] - tail[3])
  span('sr', meta[4], tail[6] - tail[5])
  redis.call('HSET', base .. ':i', unpack(index))
  if keyed then
    local key = base .. ':k:' .. ARGV[o + 7]
    redis.call('HSET', key, unpack(claims))
    if redis.call('PTTL', key) < tonumber(ARGV[o + 8]) then redis.call('PEXPIRE', key, ARGV[o + 8]) end
    if not isLive then -- and those that are gone need not be asked any more
      local still = { ARGV[o + 7] }
      for _, g in ipairs(live) do
        if redis.call('EXISTS', base .. ':k:' .. g) == 1 then still[#still + 1] = g end
      end
      set[#set + 1], set[#set + 2] = 'b', table.concat(still, ' ')
    end
  end
  if moved[1] and tail[2] == 0 then set[#set + 1], set[#set + 2] = 'n', whole(last) end
  tail[2] = tail[2] + #records
  for i = 1, 6 do tail[i] = whole(tail[i]) end
  set[#set + 1], set[#set + 2] = 't' .. ARGV[o + 6], table.concat(tail, ' ')
  redis.call('HSET', base .. ':m', unpack(set))
  if not letters then return isLong and 'C' or 'c' end
  if isLong then letters[n + 1] = 'C' end
  return { table.concat(letters), unpack(extras) }
end

local function behind(o)
  local n = tonumber(ARGV[o + 1])
  return o + 21 + (ARGV[o + 7] == '' and n or 2 * n) + #ARGV[o + 17] / 12
end
if behind(0) == #ARGV then return section(0) end
local answers, o = {}, 0
while o < #ARGV do
  local ok, answer = pcall(section, o)
  if not ok then answer = { err = type(answer) == 'table' and answer.err or tostring(answer) } end
  answers[#answers + 1], o = answer, behind(o)
end
return answers
