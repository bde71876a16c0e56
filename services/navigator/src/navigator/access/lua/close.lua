local id, tokens, late = ARGV[2], tonumber(ARGV[3]), ARGV[4]
local tenant, estimated, since, of_requests, of_tokens = free(id)
if not tenant then
  return false
end
local time = now()
correct(tenant, estimated - tokens, of_requests, of_tokens, time)
redis.call('HSET', root .. 'ended:' .. id, 'tenant', tenant, 'of_requests', of_requests, 'of_tokens', of_tokens)
redis.call('PEXPIRE', root .. 'ended:' .. id, late)
if tokens > 0 then
  local hold = redis.call('GET', root .. 'hold')
  local took = time - since
  redis.call('SET', root .. 'hold', string.format('%.3f', hold and 0.9 * hold + 0.1 * took or took))
end
return tenant
