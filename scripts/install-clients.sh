#!/usr/bin/env bash
# The clients of tests/clients: Python packages in .venv-clients, npm packages in tests/clients/node_modules; every version
# is pinned beside the tests. A second run with nothing changed takes no time.
set -euo pipefail
cd "$(dirname "$0")/.."

VENV=.venv-clients
CLIENTS=tests/clients
PIP=("$VENV/bin/python" -m pip install --quiet --progress-bar off --disable-pip-version-check --no-input)

fail() { printf 'error: %s\n→ %s\n' "$1" "$2" >&2; exit 1; }
stamp() { { pwd; cat "$@"; } | cksum; }
changed() { [ ! -f "$1" ] || [ "$(cat "$1")" != "$(stamp "${@:2}")" ]; }

if changed "$VENV/.installed" "$CLIENTS/requirements.txt"; then
  echo "• the Python clients, in $VENV"
  [ -x "$VENV/bin/pip" ] || .venv/bin/python -m venv "$VENV" || fail "$VENV could not be made" "run make install first"
  "${PIP[@]}" -r "$CLIENTS/requirements.txt" || fail "the Python clients cannot be installed" "see above; the versions stand in $CLIENTS/requirements.txt"
  stamp "$CLIENTS/requirements.txt" >"$VENV/.installed"
  echo "  done after $SECONDS s"
fi

if ! command -v npm >/dev/null || ! node -e 'process.exit(parseInt(process.versions.node) < 18 ? 1 : 0)'; then
  echo "note: Node.js 18 or newer and npm are not there, so the Vercel AI SDK is not installed and its tests skip"
  exit 0
fi
if changed "$CLIENTS/node_modules/.installed" "$CLIENTS/package.json" "$CLIENTS/package-lock.json"; then
  echo "• the npm client, in $CLIENTS/node_modules"
  npm ci --prefix "$CLIENTS" --no-audit --no-fund --loglevel=error || fail "the npm client cannot be installed" "see above; the versions stand in $CLIENTS/package-lock.json"
  stamp "$CLIENTS/package.json" "$CLIENTS/package-lock.json" >"$CLIENTS/node_modules/.installed"
  echo "  done after $SECONDS s"
fi
