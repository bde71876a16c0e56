-- Stands before every script. One script is one atomic step; nothing in here waits.
--
-- KEYS[1] is the shard's runnable set, which routes the script; ARGV[1] is the shard's root, such as 'rf:{0}:'.
-- All other keys carry the same hash tag, and are named here and in redis_journal.py only:
--   runnable         ZSET    session -> end of its lease; an end in the past means free since then
--   session:<id>     HASH    state (running, finished), epoch, owner, next, claims, token, at, sessions, idem,
--                            keep (milliseconds from its end), webhook (yes or empty), notices (tries),
--                            born (the token of the call that created it)
--   events:<id>      STREAM  entry <seq>-0: at, event
--   sessions:<tenant>  ZSET  session -> order of creation
--   idem:<tenant>:<key>  HASH  session, fingerprint
--   created          counter
--   deleted:<id>     STRING  the token of the call that deleted it, for a minute
--   deadlines        ZSET    running session -> when its time is over
--   notices          ZSET    finished session -> when its webhook is called (again)
-- A finished session's own keys expire by themselves; lists drop it when they meet it.
-- Channels: live:<id> (the last seq after each append; deltas; 'again' when deleted), wake (a session is free),
-- audience:<id> (silent: its subscribers are the processes whose clients follow the session), end:<id> ('again' once
-- the session is finished or deleted).
-- Times are microseconds of Redis TIME: fine enough to keep the order in which sessions became free.

local runnable, root = KEYS[1], ARGV[1]

local function now()
  local time = redis.call('TIME')
  return time[1] * 1000000 + time[2]
end

-- Appends payloads from `seq` on and tells the followers. `token` names the call: a client that lost the reply sends
-- the same call again and is told what it did, instead of doing it twice. Returns the entries' time.
-- Only progress clears the count of claims: a session that kills every worker restarts its steps each time.
local function append(id, seq, payloads, finished, token, progress)
  local session = root .. 'session:' .. id
  local at = string.format('%.0f', now())
  for n, payload in ipairs(payloads) do
    redis.call('XADD', root .. 'events:' .. id, string.format('%d-0', seq + n - 1), 'at', at, 'event', payload)
  end
  redis.call('HSET', session, 'next', seq + #payloads, 'token', token, 'at', at)
  if progress then
    redis.call('HSET', session, 'claims', 0)
  end
  if finished then
    redis.call('HSET', session, 'state', 'finished')
    redis.call('PUBLISH', root .. 'end:' .. id, 'again')
    redis.call('ZREM', runnable, id)
    redis.call('ZREM', root .. 'deadlines', id)
    local held = redis.call('HMGET', session, 'keep', 'webhook', 'idem')
    if held[2] == 'yes' then
      redis.call('ZADD', root .. 'notices', at, id)
    end
    for _, key in ipairs({session, root .. 'events:' .. id, held[3] ~= '' and root .. held[3] or nil}) do
      redis.call('PEXPIRE', key, held[1])
    end
  end
  redis.call('PUBLISH', root .. 'live:' .. id, seq + #payloads - 1)
  return at
end
