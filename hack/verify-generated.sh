#!/usr/bin/env bash
# Regenerates everything in place and fails if that changes a file. It compares with the files as they were, not with the
# last commit, so that it also serves in the middle of a change. Arguments: the generated files and folders.
set -euo pipefail
cd "$(dirname "$0")/.."
before=$(mktemp -d)
trap 'rm -rf "$before"' EXIT

for path in "$@"; do
  mkdir -p "$before/$(dirname "$path")"
  [ ! -e "$path" ] || cp -r "$path" "$before/$path"
done

make generate manifests docs bundle

stale=()
for path in "$@"; do
  diff -ruN "$before/$path" "$path" || stale+=("$path")
done
if [ ${#stale[@]} -gt 0 ]; then
  echo "out of date: ${stale[*]}. They are regenerated now: read the difference and commit them." >&2
  exit 1
fi
untracked=$(git ls-files --others --exclude-standard -- "$@")
if [ -n "$untracked" ]; then
  echo "generated and not committed: $untracked" >&2
  exit 1
fi
echo "generated files are up to date"
