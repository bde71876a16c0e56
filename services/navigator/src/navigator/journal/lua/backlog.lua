local time = now()
local waiting = redis.call('ZCOUNT', runnable, '-inf', time)
local first = redis.call('ZRANGE', runnable, 0, 0, 'WITHSCORES')[2]
local waited = first and math.max(0, time - first) or 0
return {waiting, redis.call('ZCARD', runnable) - waiting, string.format('%.0f', waited),
  redis.call('ZCARD', root .. 'notices')}
