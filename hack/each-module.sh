#!/usr/bin/env bash
# Runs the pinned linter in each Go module that is named and has code. The linter sees one module at a time.
# Arguments: the modules' folders in one word, then the linter's command line.
set -euo pipefail
cd "$(dirname "$0")/.."
top=$PWD
modules=$1 tool=$2
shift 2

binary=$(go tool -modfile=tools/lint/go.mod -n "$tool")
failed=()
for module in $modules; do
  [ -n "$(cd "$module" && go list ./... 2>/dev/null)" ] || continue
  echo "$tool $* in $module"
  (cd "$module" && "$binary" "$@" --config "$top/.golangci.yml" ./...) || failed+=("$module")
done
if [ ${#failed[@]} -gt 0 ]; then
  echo "$tool $*: findings in: ${failed[*]}" >&2
  exit 1
fi
