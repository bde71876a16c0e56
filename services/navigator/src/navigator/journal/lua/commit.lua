local id, epoch, expected, finished, token, progress = ARGV[2], ARGV[3], ARGV[4], ARGV[5], ARGV[6], ARGV[7]

local held = redis.call('HMGET', root .. 'session:' .. id, 'state', 'epoch', 'next', 'token', 'at')
if held[4] == token then
  return {'ok', held[5]}
end
if held[1] ~= 'running' then
  return {'lost'}
end
-- The fence: a worker that was paused past its lease wakes up with an old epoch.
if held[2] ~= epoch then return {'lost'} end
if held[3] ~= expected then
  return {'taken', held[3]}
end
return {'ok', append(id, expected, {unpack(ARGV, 8)}, finished == '1', token, progress == '1')}
