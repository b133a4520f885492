#!/usr/bin/env bash
# Installs the Ethereum clients that the end-to-end tests run, from npm and PyPI, into a folder outside the checkout,
# and prints that folder: FOLDER/venv/bin/python runs the Python script; `node` finds the packages through the link
# node_modules that is set beside the scripts. A folder per state of the lock files: a second run installs nothing.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../node/entente/tests/clients"

locks=(package.json package-lock.json requirements.txt)
state=$({ cat "${locks[@]}"; node --version; python3 --version; } | sha256sum | cut -c1-16)
folder="${XDG_CACHE_HOME:-$HOME/.cache}/entente/clients/$state"
mkdir -p "$folder"

# One installs, others wait.
exec 9>"$folder/lock"
flock 9
if [ ! -e "$folder/complete" ]; then
  cp package.json package-lock.json "$folder/"
  {
    npm ci --prefix "$folder" --no-audit --no-fund --loglevel=error
    python3 -m venv --clear "$folder/venv"
    "$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check -r requirements.txt
  } >&2 || {
    echo "cannot install the Ethereum clients (npm and PyPI must be reachable); the tests need them" >&2
    exit 1
  }
  touch "$folder/complete"
fi
ln -sfn "$folder/node_modules" node_modules
echo "$folder"
