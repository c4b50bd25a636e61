-- Takes from a sliding window of a second, exact to the microsecond. KEYS[1] is the list of the latest allowed instants, oldest first. ARGV:
-- the time in microseconds, or nothing for that of Redis, which all instances share; then the limit of each take, in order.
-- Answers for each take 0 if it is allowed, or else for how many microseconds it cannot be.
local window, now = 1000000, tonumber(ARGV[1])
local life = 600000 -- milliseconds: the clock of a test may stand still while the one that Redis expires keys by goes on
if not now then
  local time = redis.call('TIME')
  now = time[1] * 1000000 + time[2]
  life = 2000 -- an idle key has nothing left in its window
end
local function whole(number) return string.format('%.0f', number) end
local count, latest = redis.call('LLEN', KEYS[1]), tonumber(redis.call('LINDEX', KEYS[1], -1) or nil)
if latest and latest > now then
  -- The clock went back: it was set, or this is another server than before. The instants move with it, so that the last of them is now.
  -- They keep their distances, so nothing leaves the window too early, and nobody waits until the old time comes again.
  local all, back = redis.call('LRANGE', KEYS[1], 0, -1), latest - now
  redis.call('DEL', KEYS[1])
  for _, t in ipairs(all) do redis.call('RPUSH', KEYS[1], whole(tonumber(t) - back)) end
  redis.call('PEXPIRE', KEYS[1], life) -- also if nothing is added below: it is a new list
elseif latest and now - latest >= window then
  redis.call('DEL', KEYS[1])
  count = 0
end
-- Each take removes up to two that are out of the window and adds one, so the list becomes no longer than the limit.
for _ = 1, 2 * (#ARGV - 1) do
  if count == 0 or now - tonumber(redis.call('LINDEX', KEYS[1], 0)) < window then break end
  redis.call('LPOP', KEYS[1])
  count = count - 1
end
local added, answer = {}, {}
for i = 2, #ARGV do
  -- Of the allowed instants only the limit-th from the end matters: if that one is out of the window, so is everything before it.
  local limit, wait = tonumber(ARGV[i]), 0
  if count + #added >= limit then
    if #added >= limit then
      wait = window
    else
      wait = math.max(0, window - (now - tonumber(redis.call('LINDEX', KEYS[1], #added - limit))))
    end
  end
  if wait == 0 then added[#added + 1] = whole(now) end
  answer[i - 1] = wait
end
if #added > 0 then
  redis.call('RPUSH', KEYS[1], unpack(added))
  redis.call('PEXPIRE', KEYS[1], life)
end
return answer
