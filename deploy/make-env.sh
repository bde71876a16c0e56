#!/bin/sh
# Writes .env at the repository root from .env.example, with fresh secrets. Leaves an existing .env alone.
set -eu
cd "$(dirname "$0")/.."
if [ -e .env ]; then
    echo ".env exists already; nothing was changed"
    exit 0
fi
secret() { od -An -N24 -tx1 /dev/urandom | tr -d ' \n'; }
umask 077
sed -e "s/^REDIS_PASSWORD=\$/REDIS_PASSWORD=$(secret)/" -e "s/^ENGINE_KEY=\$/ENGINE_KEY=$(secret)/" .env.example > .env.new
mv .env.new .env
echo "wrote .env (profile $(sed -n 's/^COMPOSE_PROFILES=//p' .env))"
