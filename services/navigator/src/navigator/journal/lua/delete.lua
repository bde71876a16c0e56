local id = ARGV[2]
local session = root .. 'session:' .. id

local held = redis.call('HMGET', session, 'sessions', 'idem')
if not held[1] then
  return {'missing'}
end
redis.call('ZREM', runnable, id)
redis.call('ZREM', root .. 'deadlines', id)
redis.call('ZREM', root .. 'notices', id)
redis.call('ZREM', root .. held[1], id)
if held[2] ~= '' then
  redis.call('DEL', root .. held[2])
end
redis.call('DEL', session, root .. 'events:' .. id)
redis.call('PUBLISH', root .. 'live:' .. id, 'again')
return {'ok'}
