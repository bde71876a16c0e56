local id, tokens = ARGV[2], tonumber(ARGV[3])
for _, key in ipairs({root .. 'slot:' .. id, root .. 'ended:' .. id}) do
  local held = redis.call('HMGET', key, 'tenant', 'of_requests', 'of_tokens')
  if held[1] then
    correct(held[1], -tokens, tonumber(held[2]), tonumber(held[3]), now())
    return held[1]
  end
end
return false
