local id, tenant, tokens, seconds = ARGV[2], ARGV[3], tonumber(ARGV[4]), tonumber(ARGV[5])
local of_requests, of_tokens, of_sessions = tonumber(ARGV[6]), tonumber(ARGV[7]), tonumber(ARGV[8])
local room_sessions, room_tokens = tonumber(ARGV[9]), tonumber(ARGV[10])
local time = now()

for _, late in ipairs(redis.call('ZRANGEBYSCORE', slots, '-inf', time, 'LIMIT', 0, 100)) do
  free(late)
end

local requests = level(tenant, 'requests', of_requests, time)
local left = level(tenant, 'tokens', of_tokens, time)

local function told(reason, wait)
  local text = '%.3f'
  return {
    reason, text:format(wait),
    text:format(requests), text:format(until_level(of_requests, requests, of_requests)),
    text:format(left), text:format(until_level(of_tokens, left, of_tokens)),
  }
end

if redis.call('EXISTS', root .. 'slot:' .. id) == 1 then
  return told('', 0)
end

local busy = redis.call('ZCARD', slots)
local reserved = tonumber(redis.call('GET', root .. 'reserved') or 0)
if room_sessions >= 0 and busy >= room_sessions then
  return told('room', patience(busy))
end
-- An idle deployment takes anything: else what is estimated above the whole room could never begin.
if room_tokens >= 0 and busy > 0 and reserved + tokens > room_tokens then
  return told('room', patience(busy))
end
local own = redis.call('SCARD', root .. 'slots:' .. tenant)
if of_sessions >= 0 and own >= of_sessions then
  return told('sessions', patience(own))
end
if of_requests >= 0 and requests < 1 then
  return told('requests', until_level(1, requests, of_requests))
end
local wanted = math.min(tokens, of_tokens)
if of_tokens >= 0 and left < wanted then
  return told('tokens', until_level(wanted, left, of_tokens))
end

requests = of_requests < 0 and requests or requests - 1
left = of_tokens < 0 and left or left - tokens
if of_requests >= 0 or of_tokens >= 0 then
  fill(tenant, requests, of_requests, left, of_tokens, time)
end
redis.call('ZADD', slots, time + seconds, id)
redis.call('SADD', root .. 'slots:' .. tenant, id)
redis.call('INCRBY', root .. 'reserved', tokens)
redis.call('HSET', root .. 'slot:' .. id, 'tenant', tenant, 'tokens', tokens, 'since', string.format('%.6f', time),
  'of_requests', of_requests, 'of_tokens', of_tokens)
return told('', 0)
