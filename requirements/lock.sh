#!/usr/bin/env bash
# Writes requirements/{runtime,dev,fuzz}.txt from pyproject.toml and peers.txt from peers.in: every package pinned and hashed,
# no registry address.
set -euo pipefail
cd "$(dirname "$0")/.."
uv=$(realpath "${UV:-.venv/bin/uv}")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
grep -v '^ *"mission-events",$' pyproject.toml > "$work/pyproject.toml"   # our own package is installed from schemas/
lock() {
  cp "requirements/$1" "$work/$1" 2>/dev/null || true   # what is pinned stays: only what changed in pyproject.toml moves
  (cd "$work" && "$uv" pip compile -q pyproject.toml --universal --python-version 3.11 --generate-hashes \
    --no-emit-index-url --no-emit-find-links --no-header --no-annotate "${@:2}" -o "$1")
  mv "$work/$1" "requirements/$1"
}
lock runtime.txt
lock dev.txt --extra local --extra dev
"$uv" pip compile -q requirements/peers.in --universal --python-version 3.11 --generate-hashes \
  --no-emit-index-url --no-emit-find-links --no-header --no-annotate -o requirements/peers.txt
lock fuzz.txt --extra fuzz
