local id, epoch = ARGV[2], ARGV[3]
local session = root .. 'session:' .. id

local held = redis.call('HMGET', session, 'state', 'epoch')
if held[1] ~= 'running' or held[2] ~= epoch then
  return {'lost'}
end
redis.call('HINCRBY', session, 'epoch', 1)
redis.call('HSET', session, 'owner', '')
redis.call('ZADD', runnable, now(), id)
redis.call('PUBLISH', root .. 'wake', 'again')
return {'ok'}
