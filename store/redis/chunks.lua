-- Lists the chunks that may hold events of a stretch of time. ARGV: "o" (by occurrence) or "r" (by receipt), "up" or "down", the first and
-- the last instant, and how many chunks at most. Answers the chunks in the order in which the first (down: the last) of
-- their events comes, and before them where the next chunk begins: only what is before that instant is complete. Empty: all of it is.
-- A chunk is its number, and behind a blank how many bytes there are of amendments of its events, if there are any.
local from, to = base .. ':' .. ARGV[1] .. 'f', base .. ':' .. ARGV[1] .. 't'
local first, last, most = tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[5])
local meta = redis.call('HMGET', base .. ':m', 's' .. ARGV[1], 'v')
local span = tonumber(meta[1] or 0)
local up = ARGV[2] == 'up'
local function whole(number) return string.format('%.0f', number) end
local others, page = up and to or from, most + 64
local function read(skip)
  if up then
    return redis.call('ZRANGEBYSCORE', from, whole(first - span), whole(last), 'WITHSCORES', 'LIMIT', skip, page)
  end
  return redis.call('ZREVRANGEBYSCORE', to, whole(last + span), whole(first), 'WITHSCORES', 'LIMIT', skip, page)
end
local answer = { '' }
local skip, found = 0, nil
repeat
  found = read(skip)
  skip = skip + page
  for i = 1, #found, 2 do
    local score = tonumber(found[i + 1])
    -- A chunk that begins within the stretch has events of it; one that begins before may have ended before.
    local inside
    if up then
      inside = score >= first or tonumber(redis.call('ZSCORE', others, found[i])) >= first
    else
      inside = score <= last or tonumber(redis.call('ZSCORE', others, found[i])) <= last
    end
    if inside then
      if #answer > most then
        answer[1] = found[i + 1]
        return answer
      end
      local size = meta[2] and redis.call('HGET', base .. ':m', 'v' .. found[i])
      answer[#answer + 1] = size and found[i] .. ' ' .. size or found[i]
    end
  end
until #found < 2 * page
return answer
