#!/usr/bin/env bash
# Runs the tests of one package in processes at the same time, each with a share of the tests: the tests of a package that share a
# control plane or a cluster run one after another and mostly wait for it. Arguments: the number of processes, the package's folder, and
# flags for `go test`. With a flag -run it is one process. AROUND is a command that gives each process what it runs in, such as
# hack/with-cluster.sh; CLUSTER_STATE_DIR is then another folder for each. The first share's output comes as it is written, that of the
# others after it.
set -euo pipefail
cd "$(dirname "$0")/.."
count=$1 folder=$2
shift 2
for flag in "$@"; do
  case $flag in -run | -run=*) count=1 ;; esac
done
# A cluster of the caller is one.
[ -z "${AROUND:-}" ] || [ -z "${KUBECONFIG:-}" ] || count=1
read -ra around <<<"${AROUND:-}"
state=${CLUSTER_STATE_DIR:-/var/lib/metricspipeline-cluster}

# Every count-th test by the order of the files, so that the stories of one file, which are alike, are spread over the shares.
mapfile -t tests < <(grep --no-filename --only-matching --perl-regexp '^func \KTest(?!Main\()\w+(?=\(t \*testing\.T\))' "$folder"/*_test.go)
[ "${#tests[@]}" -gt 0 ] || { echo "$folder has no tests" >&2; exit 1; }

if [ "$count" -eq 1 ]; then
  exec "${around[@]}" go test -C "$folder" "$@"
fi
logs=$(mktemp --directory)
trap 'rm -rf "$logs"' EXIT
children=()
for signal in INT TERM HUP; do
  trap 'kill -'"$signal"' "${children[@]}" 2>/dev/null; wait; exit 130' "$signal"
done
for ((share = 0; share < count; share++)); do
  names=()
  for ((i = share; i < ${#tests[@]}; i += count)); do names+=("${tests[i]}"); done
  command=("${around[@]}" go test -C "$folder" "$@" -run "^($(IFS='|'; echo "${names[*]}"))\$")
  if [ "$share" -eq 0 ]; then
    "${command[@]}" &
  else
    CLUSTER_STATE_DIR=$state-$share "${command[@]}" >"$logs/$share" 2>&1 &
  fi
  children+=($!)
done
code=0
for ((share = 0; share < count; share++)); do
  wait "${children[share]}" || code=$?
  [ "$share" -eq 0 ] || cat "$logs/$share"
done
exit "$code"
