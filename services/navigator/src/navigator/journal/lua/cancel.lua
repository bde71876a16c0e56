local id, cancelled, token = ARGV[2], ARGV[3], ARGV[4]
local session = root .. 'session:' .. id

local held = redis.call('HMGET', session, 'state', 'next', 'token')
if not held[1] then
  return {'missing'}
end
if held[1] == 'finished' then
  return {held[3] == token and 'ok' or 'finished'}
end
redis.call('HINCRBY', session, 'epoch', 1)
append(id, held[2], {cancelled}, true, token, true)
return {'ok'}
