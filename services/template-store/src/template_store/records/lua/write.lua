-- One change of one template, checked and written in one atomic step. All keys carry the library's hash tag:
--   seq            counter  the library's revision: the number of changes so far
--   heads          HASH     template -> "<revision> <unique name>"; the name is empty while the template is retired
--   names          HASH     unique name -> the template that has it
--   records        HASH     template -> its JSON
--   changes        STREAM   <seq>-0: the change; trimmed, as replicas that were away longer read everything
--   history:<id>   STREAM   <revision>-0: the change; never trimmed
--   seeds          HASH     template -> "<revision> <digest>" of the seed that it last came from
-- KEYS[1] is `records`, which routes the script.
local root, id, expected, name, token, kept, seed = ARGV[1], ARGV[2], tonumber(ARGV[3]), ARGV[4], ARGV[5], ARGV[6], ARGV[7]
local kind, by, note, template = ARGV[8], ARGV[9], ARGV[10], ARGV[11]
local history = root .. 'history:' .. id
local revision = string.format('%d', expected + 1)

local current, held = 0, ''
local head = redis.call('HGET', root .. 'heads', id)
if head then
  local number, rest = string.match(head, '^(%d+) (.*)$')
  current, held = tonumber(number), rest
end

if current ~= expected then
  -- A client that lost the reply sends the same call again and is told what it did, however much happened since.
  local made = redis.call('XRANGE', history, revision .. '-0', revision .. '-0')[1]
  if made then
    local fields = {}
    for n = 1, #made[2], 2 do
      fields[made[2][n]] = made[2][n + 1]
    end
    if fields.token == token then
      return {'ok', fields.seq, fields.at}
    end
  end
  return {'revision', string.format('%d', current)}
end
if name ~= '' then
  local holder = redis.call('HGET', root .. 'names', name)
  if holder and holder ~= id then
    return {'name', holder}
  end
end

local time = redis.call('TIME')
local at = string.format('%.0f', time[1] * 1000000 + time[2])
local seq = string.format('%d', redis.call('INCR', root .. 'seq'))
if held ~= '' and held ~= name then
  redis.call('HDEL', root .. 'names', held)
end
if name ~= '' then
  redis.call('HSET', root .. 'names', name, id)
end
redis.call('HSET', root .. 'heads', id, revision .. ' ' .. name)
redis.call('HSET', root .. 'records', id, template)
if seed ~= '' then
  redis.call('HSET', root .. 'seeds', id, revision .. ' ' .. seed)
end
local change = {
  'seq', seq, 'id', id, 'revision', revision, 'kind', kind, 'at', at, 'by', by, 'note', note, 'token', token,
  'template', template,
}
redis.call('XADD', root .. 'changes', 'MAXLEN', '~', kept, seq .. '-0', unpack(change))
redis.call('XADD', history, revision .. '-0', unpack(change))
return {'ok', seq, at}
