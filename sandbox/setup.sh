#!/usr/bin/env bash
# Creates the virtual environment from the hashed locks. Usage: sandbox/setup.sh FOLDER
set -euo pipefail
venv=$1
needed_mib=2500

fail() { printf '%s\n' "$*" >&2; exit 1; }

python=${PYTHON3:-}
if [ -z "$python" ]; then
  for candidate in python3 python3.14 python3.13 python3.12 python3.11; do
    if command -v "$candidate" >/dev/null && "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
      python=$candidate
      break
    fi
  done
fi
[ -n "$python" ] || fail "Python 3.11 or newer is needed, and none was found (python3 is $(python3 --version 2>&1 || true)). Install it, or name it: make PYTHON3=/path/to/python3.12 demo"
"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || fail "Python 3.11 or newer is needed; $python is $("$python" --version 2>&1)."
"$python" -c 'import ensurepip, venv' 2>/dev/null || fail "$python has no venv module. On Debian and Ubuntu: apt-get install python3-venv"

mkdir -p "$venv"
free_mib=$(df -Pk "$venv" | awk 'NR == 2 { print int($4 / 1024) }')
[ "$free_mib" -ge "$needed_mib" ] || fail "Only $free_mib MiB are free here; the environment needs $needed_mib MiB. Free some space and run the command again."

step() { printf '[setup] %s\n' "$*"; }

if [ ! -x "$venv/bin/python" ]; then
  step "creating $venv with $("$python" --version)"
  "$python" -m venv "$venv"
fi
if [ ! -x "$venv/bin/uv" ]; then
  step "installing uv"
  "$venv/bin/python" -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-uv.txt
fi
step "installing the locked dependencies (about 1 GB on disk)"
# Without compiled bytecode, every start of a task takes twice as long.
VIRTUAL_ENV="$venv" "$venv/bin/uv" pip install --quiet --compile-bytecode --no-deps --require-hashes -r requirements-dev.txt
step "done"
