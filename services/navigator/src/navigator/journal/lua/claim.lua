local owner, lease, max_claims, given_up, token = ARGV[2], ARGV[3], ARGV[4], ARGV[5], ARGV[6]

while true do
  local time = now()
  local id = redis.call('ZRANGEBYSCORE', runnable, '-inf', time, 'LIMIT', 0, 1)[1]
  if not id then
    return false
  end
  local session = root .. 'session:' .. id
  local claims = redis.call('HINCRBY', session, 'claims', 1)
  if claims <= tonumber(max_claims) then
    -- A worker that gives a session back takes its name off it.
    local silent = redis.call('HGET', session, 'owner') ~= ''
    redis.call('HSET', session, 'owner', owner)
    redis.call('ZADD', runnable, time + lease, id)
    return {id, redis.call('HINCRBY', session, 'epoch', 1), claims, string.format('%.0f', time), silent and 1 or 0}
  end
  append(id, redis.call('HGET', session, 'next'), {given_up}, true, token, true)
end
