local index, before, limit = root .. ARGV[2], ARGV[3], tonumber(ARGV[4])

local bound = '+inf'
if before ~= '' then
  local place = redis.call('ZSCORE', index, before)
  if not place or redis.call('EXISTS', root .. 'session:' .. before) == 0 then
    return {'expired'}
  end
  bound = '(' .. place
end

local found = {'ok'}
while #found <= limit do
  local page = redis.call('ZREVRANGEBYSCORE', index, bound, '-inf', 'WITHSCORES', 'LIMIT', 0, limit)
  if #page == 0 then
    break
  end
  for n = 1, #page, 2 do
    if redis.call('EXISTS', root .. 'session:' .. page[n]) == 0 then
      redis.call('ZREM', index, page[n])
    elseif #found <= limit then
      table.insert(found, page[n])
    end
  end
  bound = '(' .. page[#page]
end
return found
