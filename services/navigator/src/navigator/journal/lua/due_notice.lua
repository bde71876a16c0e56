local lease = ARGV[2]

while true do
  local time = now()
  local id = redis.call('ZRANGEBYSCORE', root .. 'notices', '-inf', time, 'LIMIT', 0, 1)[1]
  if not id then
    return false
  end
  local session = root .. 'session:' .. id
  if redis.call('EXISTS', session) == 1 then
    local tries = redis.call('HINCRBY', session, 'notices', 1)
    redis.call('ZADD', root .. 'notices', time + lease * 2 ^ (tries - 1), id)
    return {id, tries}
  end
  redis.call('ZREM', root .. 'notices', id)
end
