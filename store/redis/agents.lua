-- Lists the agents of an org, or records those of events that were stored without: by a release that did not record any. ARGV: nothing; or how
-- many such events there were, how often that had been done before, and then the field of each of their agents with its first and its last
-- instant; with another number than that of times the agents are recorded and nothing is counted. Answers how many events there are and the
-- hash that the agents are in, "ok" if they are recorded, or "g": keys of the org are gone.
local known = redis.call('HGETALL', base .. ':m')
if #ARGV == 0 then
  if #known == 0 and redis.call('EXISTS', base .. ':i', base .. ':of') > 0 then return 'g' end
  return { redis.call('HLEN', base .. ':i'), known }
end
local meta, set = {}, {}
for i = 1, #known, 2 do meta[known[i]] = known[i + 1] end
for i = 3, #ARGV, 2 do
  local first, last = struct.unpack('>I6I6', ARGV[i + 1])
  if meta[ARGV[i]] then
    local since, till = struct.unpack('>I6I6', meta[ARGV[i]])
    first, last = math.min(since, first), math.max(till, last)
  end
  set[#set + 1] = { ARGV[i], struct.pack('>I6I6', first, last) }
end
for _, agent in ipairs(set) do redis.call('HSET', base .. ':m', agent[1], agent[2]) end
-- Whoever was faster has counted the events already.
if (meta.f or '0') == ARGV[2] then
  redis.call('HSET', base .. ':m', 'r', string.format('%.0f', tonumber(meta.r or 0) + tonumber(ARGV[1])), 'f', string.format('%.0f', tonumber(ARGV[2]) + 1))
end
return 'ok'
