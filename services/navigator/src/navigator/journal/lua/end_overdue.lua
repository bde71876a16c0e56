local grace, ended, token = ARGV[2], ARGV[3], ARGV[4]

while true do
  local id = redis.call('ZRANGEBYSCORE', root .. 'deadlines', '-inf', now() - grace, 'LIMIT', 0, 1)[1]
  if not id then
    return false
  end
  local session = root .. 'session:' .. id
  local held = redis.call('HMGET', session, 'state', 'next')
  if held[1] == 'running' then
    redis.call('HINCRBY', session, 'epoch', 1)
    append(id, held[2], {ended}, true, token, true)
    return id
  end
  redis.call('ZREM', root .. 'deadlines', id)
end
