local id, sessions, idem, fingerprint, token, first = ARGV[2], ARGV[3], ARGV[4], ARGV[5], ARGV[6], ARGV[7]
local seconds, keep, webhook = ARGV[8], ARGV[9], ARGV[10]
local session = root .. 'session:' .. id

if idem ~= '' then
  local known = redis.call('HMGET', root .. idem, 'session', 'fingerprint')
  if known[1] then
    return {known[2] == fingerprint and 'ok' or 'reused', known[1]}
  end
end
-- Not the token of the last call: a worker may have gone on with the session before a lost reply is asked for again.
local before = redis.call('HMGET', session, 'state', 'born')
if before[1] then
  return {before[2] == token and 'ok' or 'exists', id}
end

redis.call('HSET', session, 'state', 'running', 'epoch', 0, 'owner', '', 'sessions', sessions, 'idem', idem,
  'keep', keep, 'webhook', webhook, 'born', token)
append(id, 1, {first}, false, token, true)
redis.call('ZADD', root .. sessions, redis.call('INCR', root .. 'created'), id)
redis.call('ZADD', root .. 'deadlines', now() + seconds, id)
-- What has expired leaves the list: two of the oldest for one that is new.
for _, old in ipairs(redis.call('ZRANGE', root .. sessions, 0, 1)) do
  if redis.call('EXISTS', root .. 'session:' .. old) == 0 then
    redis.call('ZREM', root .. sessions, old)
  end
end
if idem ~= '' then
  redis.call('HSET', root .. idem, 'session', id, 'fingerprint', fingerprint)
end
redis.call('ZADD', runnable, now(), id)
redis.call('PUBLISH', root .. 'wake', 'again')
return {'ok', id}
