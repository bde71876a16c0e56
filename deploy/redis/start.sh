#!/bin/sh
# Writes the ACL from the environment and becomes redis-server. Arguments are passed on to redis-server.
#   REDIS_PASSWORD  required; only its SHA-256 is written
#   REDIS_CONF      default /etc/redis/redis.conf
#   REDIS_DATA_DIR  default /data
#   REDIS_ACL_DIR   default /tmp; must be writable, and memory is enough
set -eu
: "${REDIS_PASSWORD:?REDIS_PASSWORD is not set: Redis does not start without one}"
conf="${REDIS_CONF:-/etc/redis/redis.conf}"
acl="${REDIS_ACL_DIR:-/tmp}/users.acl"
digest=$(printf %s "$REDIS_PASSWORD" | sha256sum | cut -d' ' -f1)
umask 077
# Nobody can log in as the default user: it is off and has no password. It is not "nopass", off or not: that would put
# Redis into its protected mode, which answers nobody on another host. And it may do everything: Redis reads its
# append-only file in that user's name, and drops, with no more than a line in its log, every transaction that this user
# may not do: all that our scripts wrote (redis/redis#14541).
# Our user may do what the journal and the records do, in keys and channels of the prefix rf, and not flush, reconfigure,
# list keys or shut down.
cat > "$acl" <<ACL
user default off resetpass ~* &* +@all
user reasonflux on #$digest resetchannels ~rf:* &rf:* +@all -@admin -@dangerous +info
ACL
unset REDIS_PASSWORD
exec "${REDIS_SERVER:-redis-server}" "$conf" --dir "${REDIS_DATA_DIR:-/data}" --aclfile "$acl" "$@"
