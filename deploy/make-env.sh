#!/bin/sh
# Writes .env at the repository root from .env.example, with fresh secrets. What an existing .env says stays as it is; a
# setting that it lacks, because it is from an older version, is added.
set -eu
cd "$(dirname "$0")/.."
umask 077
secret() { od -An -N24 -tx1 /dev/urandom | tr -d ' \n'; }
known() { [ -e .env ] && grep -q "^$1=" .env; }

new=.env.new
if [ -e .env ]; then sed -e '$a\' .env > "$new"; else : > "$new"; fi  # sed ends a last line that has no end
added=
while IFS= read -r line; do
    name=${line%%=*}
    case $line in
        '' | '#'*) [ -e .env ] || printf '%s\n' "$line" >> "$new"; continue ;;
    esac
    if known "$name"; then continue; fi
    case $name in
        REDIS_PASSWORD | ENGINE_KEY | GRAFANA_PASSWORD) line="$name=$(secret)" ;;
    esac
    printf '%s\n' "$line" >> "$new"
    added="$added $name"
done < .env.example
if [ -z "$added" ]; then
    rm "$new"
    echo ".env has every setting already; nothing was changed"
elif [ -e .env ]; then
    mv "$new" .env
    echo "added to .env:$added"
else
    mv "$new" .env
    echo "wrote .env (profile $(sed -n 's/^COMPOSE_PROFILES=//p' .env))"
fi
