local id, tokens = ARGV[2], tonumber(ARGV[3])
local tenant, estimated, since, of_requests, of_tokens = free(id)
if not tenant then
  return false
end
local time = now()
if of_tokens >= 0 then
  local left = math.min(of_tokens, level(tenant, 'tokens', of_tokens, time) + estimated - tokens)
  fill(tenant, level(tenant, 'requests', of_requests, time), of_requests, left, of_tokens, time)
end
if tokens > 0 then
  local hold = redis.call('GET', root .. 'hold')
  local took = time - since
  redis.call('SET', root .. 'hold', string.format('%.3f', hold and 0.9 * hold + 0.1 * took or took))
end
return tenant
