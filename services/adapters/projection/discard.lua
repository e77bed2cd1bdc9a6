-- Removes states that are ahead of a ledger which lost its newest commits. KEYS: one a user. ARGV: the version seen, one a key.
local removed = 0
for i = 1, #KEYS do
  local before = string.match(redis.call('GETRANGE', KEYS[i], 0, 19), '^(%d+)|')
  if before == ARGV[i] then
    removed = removed + redis.call('DEL', KEYS[i])
  end
end
return removed
