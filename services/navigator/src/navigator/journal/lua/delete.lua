local id, token = ARGV[2], ARGV[3]
local session = root .. 'session:' .. id

local held = redis.call('HMGET', session, 'sessions', 'idem')
if not held[1] then
  return {redis.call('GET', root .. 'deleted:' .. id) == token and 'ok' or 'missing'}
end
redis.call('ZREM', runnable, id)
redis.call('ZREM', root .. 'deadlines', id)
redis.call('ZREM', root .. 'notices', id)
redis.call('ZREM', root .. held[1], id)
if held[2] ~= '' then
  redis.call('DEL', root .. held[2])
end
redis.call('DEL', session, root .. 'events:' .. id)
redis.call('SET', root .. 'deleted:' .. id, token, 'EX', 60) -- for the same call, when its reply was lost
redis.call('PUBLISH', root .. 'live:' .. id, 'again')
redis.call('PUBLISH', root .. 'end:' .. id, 'again')
return {'ok'}
