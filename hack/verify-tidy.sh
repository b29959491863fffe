#!/usr/bin/env bash
# Fails if the go.mod or go.sum of a module is not what `go mod tidy` would write. Arguments: the modules' folders.
set -euo pipefail
cd "$(dirname "$0")/.."

for module in "$@"; do
  if ! (cd "$module" && go mod tidy -diff); then
    echo "$module/go.mod or go.sum is not tidy: run go mod tidy in $module" >&2
    exit 1
  fi
done
echo "go.mod and go.sum are tidy"
