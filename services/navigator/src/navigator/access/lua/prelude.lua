-- Stands before every script. One script is one atomic step.
--
-- KEYS[1] is the set of all slots, which routes the script; ARGV[1] is the root, such as 'rf:{access}:'.
-- All other keys carry the same hash tag, and are named here and in redis_access.py only:
--   slots            ZSET    work that was let in -> when its time is over in any case
--   slot:<id>        HASH    tenant, tokens (estimated), since, of_requests, of_tokens (its tenant's limits)
--   slots:<tenant>   SET     the tenant's own
--   ended:<id>       HASH    tenant, of_requests, of_tokens: of work that has ended, for a while
--   reserved         counter the estimates of all slots
--   bucket:<tenant>  HASH    requests, tokens (what is left of each), at
--   hold             how many seconds work takes, a moving mean
-- Times are seconds of Redis TIME. A limit of -1 is none.

local slots, root = KEYS[1], ARGV[1]

local function now()
  local time = redis.call('TIME')
  return tonumber(time[1]) + tonumber(time[2]) / 1000000
end

-- Gives a slot back. Returns its fields, or nothing where there is no such slot.
local function free(id)
  local key = root .. 'slot:' .. id
  local slot = redis.call('HMGET', key, 'tenant', 'tokens', 'since', 'of_requests', 'of_tokens')
  redis.call('ZREM', slots, id)
  if not slot[1] then
    return
  end
  redis.call('SREM', root .. 'slots:' .. slot[1], id)
  redis.call('DECRBY', root .. 'reserved', slot[2])
  redis.call('DEL', key)
  return slot[1], tonumber(slot[2]), tonumber(slot[3]), tonumber(slot[4]), tonumber(slot[5])
end

-- What is in a bucket by now; one that is not there is full.
local function level(tenant, name, limit, time)
  local held = redis.call('HMGET', root .. 'bucket:' .. tenant, name, 'at')
  if limit < 0 or not held[1] then
    return limit
  end
  return math.min(limit, tonumber(held[1]) + math.max(0, time - tonumber(held[2])) * limit / 60)
end

-- How many seconds until a bucket holds so much.
local function until_level(wanted, has, limit)
  if limit < 0 then
    return 0
  end
  return math.max(0, (wanted - has) * 60 / limit)
end

-- Writes the levels of what is limited. A bucket that will be full by itself needs no memory from then on.
local function fill(tenant, requests, of_requests, tokens, of_tokens, time)
  local bucket = root .. 'bucket:' .. tenant
  local full = math.max(until_level(of_requests, requests, of_requests), until_level(of_tokens, tokens, of_tokens))
  local text = '%.6f'
  redis.call('HSET', bucket, 'at', text:format(time))
  for name, held in pairs({requests = {of_requests, requests}, tokens = {of_tokens, tokens}}) do
    if held[1] < 0 then
      redis.call('HDEL', bucket, name)  -- a limit that is set later begins with a full bucket
    else
      redis.call('HSET', bucket, name, text:format(held[2]))
    end
  end
  redis.call('PEXPIRE', bucket, math.ceil(full * 1000) + 1000)
end

-- Corrects what is left of the tokens.
local function correct(tenant, tokens, of_requests, of_tokens, time)
  if of_tokens >= 0 then
    local left = math.min(of_tokens, level(tenant, 'tokens', of_tokens, time) + tokens)
    fill(tenant, level(tenant, 'requests', of_requests, time), of_requests, left, of_tokens, time)
  end
end

-- When a slot may be free again, from how long work usually takes.
local function patience(busy)
  return math.max(1, tonumber(redis.call('GET', root .. 'hold') or 1) / math.max(1, busy))
end
