-- Stores states whose version is above the stored one. KEYS: one a user. ARGV: seconds to live, then a value a key ("<version>|<state>").
-- Two lanes may finish in either order; the higher version is always the newer truth.
local stored = 0
for i = 1, #KEYS do
  local value = ARGV[i + 1]
  local version = tonumber(string.match(value, '^(%d+)|'))
  local before = tonumber(string.match(redis.call('GETRANGE', KEYS[i], 0, 19), '^(%d+)|'))
  if not before or before < version then
    redis.call('SET', KEYS[i], value, 'EX', ARGV[1])
    stored = stored + 1
  end
end
return stored
