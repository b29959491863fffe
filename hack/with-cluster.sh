#!/usr/bin/env bash
# Runs a command against a cluster: the one that KUBECONFIG names, else the test cluster that is up, else one that it
# starts and takes down again whatever happens. A test cluster gets the operator's image from bin/manager under IMG, and
# the sample application's from bin/sample-app under SAMPLE_IMG. The command finds KUBECONFIG, both names and kubectl in
# its environment, and in TEST_CLUSTER the program of a test cluster, for what no API does. CLUSTER_FLAGS are flags of
# `bin/cluster up`; a cluster that is up without what they say is refused. CLUSTER_START_FLAGS are for a cluster that it starts alone:
# one that is up is taken as it is. Arguments: the command.
set -euo pipefail
cd "$(dirname "$0")/.."

if [ -n "${KUBECONFIG:-}" ]; then
  echo "using the cluster of KUBECONFIG=$KUBECONFIG; it must be able to pull $IMG and $SAMPLE_IMG"
  exec "$@"
fi

# run gives a command a process group of its own, so that a signal reaches the program behind `go run` and `go test` too,
# and it has ended before the cluster under it is stopped.
set -m
run() {
  "$@" &
  local command=$! signal
  for signal in INT TERM HUP; do
    trap "kill -$signal -- -$command 2>/dev/null; wait $command; exit 130" "$signal"
  done
  wait "$command"
}

down() {
  local code=$?
  trap - EXIT
  trap '' INT TERM HUP # nothing may stop it half way
  bin/cluster down || { [ "$code" -ne 0 ] || code=1; }
  exit "$code"
}

read -ra flags <<<"${CLUSTER_FLAGS:-}"
if ! bin/cluster status >/dev/null 2>&1; then
  trap down EXIT
  read -ra starting <<<"${CLUSTER_START_FLAGS:-}"
  run bin/cluster up "${flags[@]}" "${starting[@]}"
elif [ ${#flags[@]} -gt 0 ]; then
  run bin/cluster up "${flags[@]}"
fi
run bin/cluster load "$IMG" --binary bin/manager
run bin/cluster load "$SAMPLE_IMG" --binary bin/sample-app

KUBECONFIG=$(bin/cluster kubeconfig)
PATH=$(bin/cluster binaries kubectl):$PATH
TEST_CLUSTER=$PWD/bin/cluster
export KUBECONFIG PATH TEST_CLUSTER
run "$@"
