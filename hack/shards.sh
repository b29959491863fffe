#!/usr/bin/env bash
# Runs the tests of one package in processes at the same time, each with a share of the tests: those of test/envtest share a control
# plane, so they run one after another and mostly wait for it. Arguments: the number of processes, the package's folder, and flags
# for `go test`. With a flag -run it is one process. The shares' output comes one after another.
set -euo pipefail
cd "$(dirname "$0")/.."
count=$1 folder=$2
shift 2
for flag in "$@"; do
  case $flag in -run | -run=*) count=1 ;; esac
done

# Every count-th test by the order of the files, so that the stories of one file, which are alike, are spread over the shares.
mapfile -t tests < <(grep --no-filename --only-matching --perl-regexp '^func \KTest(?!Main\()\w+(?=\(t \*testing\.T\))' "$folder"/*_test.go)
[ "${#tests[@]}" -gt 0 ] || { echo "$folder has no tests" >&2; exit 1; }
logs=$(mktemp --directory)
trap 'rm -rf "$logs"' EXIT

if [ "$count" -eq 1 ]; then
  go test -C "$folder" "$@"
  exit
fi
children=()
for signal in INT TERM HUP; do
  trap 'kill -'"$signal"' "${children[@]}" 2>/dev/null; wait; exit 130' "$signal"
done
for ((share = 0; share < count; share++)); do
  names=()
  for ((i = share; i < ${#tests[@]}; i += count)); do names+=("${tests[i]}"); done
  go test -C "$folder" "$@" -run "^($(IFS='|'; echo "${names[*]}"))\$" >"$logs/$share" 2>&1 &
  children+=($!)
done
code=0
for ((share = 0; share < count; share++)); do
  wait "${children[share]}" || code=$?
  cat "$logs/$share"
done
exit "$code"
