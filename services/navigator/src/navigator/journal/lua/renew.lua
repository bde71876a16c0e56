local id, epoch, lease = ARGV[2], ARGV[3], ARGV[4]

local held = redis.call('HMGET', root .. 'session:' .. id, 'state', 'epoch')
if held[1] ~= 'running' or held[2] ~= epoch then
  return {'lost'}
end
redis.call('ZADD', runnable, now() + lease, id)
return {'ok'}
