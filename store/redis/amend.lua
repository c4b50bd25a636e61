-- Adds an amendment to an event, and with it a line to the history of the org. ARGV: the field of the id, how many amendments the event has,
-- the amendment, the line, a mark of this call, for how long that is kept (ms), a week, and the block that the amendment adds to its sums,
-- which may be empty; of a redaction also the record as it is and as it becomes, which has the same length. Answers nothing: there is no such event; "g": keys of the org are gone; "other": the record is another
-- one, and nothing was written; or "ok" or "changed" (it has been amended since, and nothing was written), the record and its amendments. The
-- mark tells a call that is made again, because its answer was lost, from somebody else's, also when others have amended the event since.
local place = redis.call('HGET', base .. ':i', ARGV[1])
if not place then return {} end
local chunk, at = struct.unpack('>I4I2', place)
local body, amendments, size = record(place), amended(place, ARGV[1])
if body == '' or not amendments then return { 'g' } end
local mark = base .. ':w:' .. ARGV[5]
if redis.call('EXISTS', mark) == 1 then return { 'ok', body, unpack(amendments) } end
if #amendments ~= tonumber(ARGV[2]) then return { 'changed', body, unpack(amendments) } end
if ARGV[9] and (body ~= ARGV[9] or #ARGV[10] ~= #body) then return { 'other' } end
local all = tonumber(redis.call('HGET', base .. ':m', 'v') or 0)

-- From here on it is written, and nothing can fail for what is in the data.
local added = struct.pack('>I3I2', #ARGV[1] + #ARGV[3], #ARGV[1]) .. ARGV[1] .. ARGV[3]
redis.call('APPEND', base .. ':v:' .. chunk, added)
redis.call('HSET', base .. ':m', 'v', string.format('%.0f', all + 1), 'v' .. chunk, string.format('%.0f', size + #added))
-- As in append.lua: where the log can become no longer, the amendment is not counted among those that have sums.
if ARGV[8] == '' or type(redis.pcall('APPEND', base .. ':s:' .. ARGV[7], ARGV[8])) == 'number' then redis.call('HINCRBY', base .. ':s', 'v', 1) end
if ARGV[9] then
  redis.call('SETRANGE', base .. ':e:' .. chunk, at, ARGV[10])
  body = ARGV[10]
end
redis.call('RPUSH', base .. ':h', ARGV[4])
redis.call('SET', mark, '', 'PX', ARGV[6])
amendments[#amendments + 1] = ARGV[3]
return { 'ok', body, unpack(amendments) }
