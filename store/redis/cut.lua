-- Says what there is of a week at one time, so that its sums can be made from that much. ARGV: the first instant of the week and that of the next, and the
-- week. Answers the number of events that it has sums of, how often its log was written anew, how long that is, and for each chunk of the week its
-- number, its length and that of the amendments of its events.
local known = redis.call('HMGET', base .. ':s', ARGV[3], 'g' .. ARGV[3])
local answer = { known[1] or '0', known[2] or '0', tostring(redis.call('STRLEN', base .. ':s:' .. ARGV[3])) }
for _, chunk in ipairs(redis.call('ZRANGEBYSCORE', base .. ':of', ARGV[1], '(' .. ARGV[2])) do
  answer[#answer + 1] = chunk
  answer[#answer + 1] = tostring(redis.call('STRLEN', base .. ':e:' .. chunk))
  answer[#answer + 1] = tostring(redis.call('STRLEN', base .. ':v:' .. chunk))
end
return answer
