#!/usr/bin/env bash
# Runs one target of the Makefile beside others, and shows its output when they have ended. The end-to-end tests mostly wait for the
# programs of a cluster; the others compute. Arguments: the targets that wait, in one word, then the others, in order.
set -euo pipefail
cd "$(dirname "$0")/.."
read -ra waits <<<"$1"
shift

# What both build, before they do so at the same time.
make build dist/install.yaml bin/sample-app bin/cluster

log=$(mktemp)
trap 'rm -f "$log"' EXIT
make "${waits[@]}" >"$log" 2>&1 &
beside=$!
# A signal reaches it too, so that it takes its cluster down; nothing is left before that.
for signal in INT TERM HUP; do
  trap "kill -$signal $beside 2>/dev/null; wait $beside; exit 130" "$signal"
done

code=0
echo "=== make ${waits[*]} runs beside what follows; its output comes at the end"
make "$@" || code=$?
echo "=== make ${waits[*]}"
wait "$beside" || code=$?
cat "$log"
exit "$code"
