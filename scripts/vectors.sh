#!/usr/bin/env bash
# Runs the full public vectors (four minutes on two cores), of which `make test` runs a selection.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
export CONFORMANCE_DIR="${CONFORMANCE_DIR:-$PWD/../shared/conformance}"
if [ ! -d "$CONFORMANCE_DIR" ]; then
  echo "the full vectors are not at $CONFORMANCE_DIR: set CONFORMANCE_DIR to the folder that has them" >&2
  echo "(make test runs a selection of them from testdata/)" >&2
  exit 1
fi
exec cargo test --release --locked --workspace --test it -- --nocapture every_blockchain_test "$@"
