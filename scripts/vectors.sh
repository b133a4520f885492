#!/usr/bin/env bash
# Runs the full public vectors, minutes to hours: the tests named `full_vectors_...`, which `make test` leaves out.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
export CONFORMANCE_DIR="${CONFORMANCE_DIR:-$PWD/../shared/conformance}"
if [ ! -d "$CONFORMANCE_DIR" ]; then
  echo "the full vectors are not at $CONFORMANCE_DIR: set CONFORMANCE_DIR to the folder that has them" >&2
  echo "(make test runs a selection of them from testdata/)" >&2
  exit 1
fi
exec cargo test --release --locked --workspace -- --ignored full_vectors "$@"
