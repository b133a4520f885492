#!/usr/bin/env bash
# Installs what a build lacks (with --tests, what the tests lack too). As root on Debian or Ubuntu it does so with
# apt-get; otherwise it prints the command to run and fails. Does nothing when nothing lacks.
set -euo pipefail

lacking=()

has() {
  command -v "$1" >/dev/null 2>&1
}

# What bindgen looks for: RocksDB's bindings are made from its header.
has_libclang() {
  if [ -n "${LIBCLANG_PATH:-}" ]; then return 0; fi
  local found
  found=$(compgen -G '/usr/lib/llvm-*/lib/libclang*.so*' ||
    compgen -G '/usr/lib/*-linux-gnu/libclang*.so*' ||
    compgen -G '/usr/lib*/libclang*.so*' || compgen -G '/usr/local/lib/libclang*.so*' || true)
  [ -n "$found" ]
}

# Node 20 knows the import syntax that the client tests use.
has_node() {
  has npm && has node && [ "$(node -p 'parseInt(process.versions.node) >= 20')" = true ]
}

has_python() {
  has python3 && python3 -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 10))' 2>/dev/null
}

if ! has cargo; then
  echo "cargo is not there: install Rust 1.95 or newer (https://rustup.rs)" >&2
  exit 1
fi
has c++ || has g++ || has clang++ || lacking+=(g++)
has cc || has gcc || has clang || lacking+=(gcc)
has_libclang || lacking+=(clang libclang-dev)
if [ "${1:-}" = --tests ]; then
  has_node || lacking+=(nodejs npm)
  has_python || lacking+=(python3 python3-venv)
fi
if [ ${#lacking[@]} -eq 0 ]; then exit 0; fi

if [ "$(id -u)" -ne 0 ] || ! has apt-get; then
  echo "this machine lacks: ${lacking[*]}" >&2
  echo "run: sudo apt-get update && sudo apt-get install -y ${lacking[*]}" >&2
  echo "(or the packages of these names on systems without apt-get)" >&2
  exit 1
fi
echo "installing: ${lacking[*]}"
apt-get update -q
DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends "${lacking[@]}"
if [ "${1:-}" = --tests ] && ! has_node; then
  echo "the tests need Node 20 or newer, found $(node --version 2>/dev/null || echo none)" >&2
  exit 1
fi
