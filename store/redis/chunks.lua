-- Lists the chunks that may hold events of a stretch of time. ARGV: "o" (by occurrence) or "r" (by receipt), "up" or "down", the first and
-- the last instant, and how many chunks at most. Answers the chunks in the order in which the first (down: the last) of
-- their events comes, and before them where the next chunk begins: only what is before that instant is complete. Empty: all of it is.
local from, to = base .. ':' .. ARGV[1] .. 'f', base .. ':' .. ARGV[1] .. 't'
local first, last, most = tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[5])
local span = tonumber(redis.call('HGET', base .. ':m', 's' .. ARGV[1]) or 0)
local up = ARGV[2] == 'up'
local function whole(number) return string.format('%.0f', number) end
local found, others
if up then
  found = redis.call('ZRANGEBYSCORE', from, whole(first - span), whole(last), 'WITHSCORES')
  others = to
else
  found = redis.call('ZREVRANGEBYSCORE', to, whole(last + span), whole(first), 'WITHSCORES')
  others = from
end
local answer = { '' }
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
      break
    end
    answer[#answer + 1] = found[i]
  end
end
return answer
