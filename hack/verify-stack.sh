#!/usr/bin/env bash
# Fails if how the operator lives beside KEDA, VPA, Traefik, Thanos, OLM and the next Kubernetes is not what was last tested with the real
# ones. That takes half an hour and programs that take twenty minutes to build, so it is done once for each change, and this only sees
# whether it is about these sources. With the argument "digest" it prints their digest.
set -euo pipefail
cd "$(dirname "$0")/.."
readonly proof=test/e2e/stack.txt

# The others and the stories; what decides in the operator by the others, without tests and comments; and what OLM installs, without
# the schema. Whatever else the stories go through is tested by those of make test-e2e, which always run.
sources() {
  find test/cluster/components/{keda,next,thanos,traefik,operator-lifecycle-manager} -name go.mod
  ls test/cluster/internal/cluster/manifests/{keda,vertical-pod-autoscaler,traefik,olm}.yaml
  find test/e2e -maxdepth 1 -name 'stack*_test.go'
  find docs/tutorials -type f 2>/dev/null || true
  find docs/walk -name '*.go' ! -name '*_test.go'
  find internal/metricsapi internal/registration internal/ownership internal/autoscaler internal/presets -name '*.go' ! -name '*_test.go'
  ls internal/diagnose/{autoscaler,api,limits,scaledobject}.go internal/diagnose/collect/{others,apis,scaledobject}.go
  ls config/rbac/role.yaml bundle/manifests/*.clusterserviceversion.yaml bundle/metadata/*
}

# digest leaves out comments that have a line of their own, which change nothing.
digest() {
  sources | LC_ALL=C sort | while read -r file; do
    echo "$file"
    case $file in
      *.go) sed '/^[[:space:]]*\/\//d' "$file" ;;
      *) cat "$file" ;;
    esac
  done | sha256sum | cut -d' ' -f1
}

if [ "${1:-}" = digest ]; then
  digest
elif ! grep -qx "sources sha256:$(digest)" "$proof"; then
  echo "how the operator lives beside others has changed: make test-stack tests it again and writes $proof" >&2
  exit 1
else
  echo "the operator is tested beside KEDA, VPA, Traefik, OLM and the next Kubernetes"
fi
