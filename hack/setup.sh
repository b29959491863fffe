#!/usr/bin/env bash
# Prepares a machine that has only Go and make. Arguments: the Debian packages that the test cluster and the race detector need.
set -euo pipefail
cd "$(dirname "$0")/.."

step() { printf '\n=== %s\n' "$*"; }

missing=()
for package in "$@"; do
  dpkg-query --show --showformat='${db:Status-Abbrev}' "$package" 2>/dev/null | grep -q '^ii' || missing+=("$package")
done
if [ ${#missing[@]} -gt 0 ]; then
  step "installing Debian packages: ${missing[*]}"
  if [ "$(id -u)" -ne 0 ]; then
    echo "not root: run this yourself, then make setup again:" >&2
    echo "  sudo apt-get install -y --no-install-recommends ${missing[*]}" >&2
    exit 1
  fi
  export DEBIAN_FRONTEND=noninteractive
  apt-get update -q
  # The test cluster runs a containerd of its own; Debian's service would be one more process left behind.
  policy=/usr/sbin/policy-rc.d
  if [ ! -e "$policy" ]; then
    trap 'rm -f "$policy"' EXIT
    printf '#!/bin/sh\nexit 101\n' >"$policy"
    chmod +x "$policy"
  fi
  apt-get install -y -q --no-install-recommends "${missing[@]}"
fi

step "fetching the Go modules of the operator and its tests"
go list -deps -test ./... >/dev/null

step "building the tools and the cluster's programs (about 25 minutes the first time on two cores, cached after that)"
go tool -modfile=tools/go.mod controller-gen --version
go tool -modfile=tools/go.mod kustomize version
go tool -modfile=tools/lint/go.mod golangci-lint-kube-api-linter version
make bin/cluster
bin/cluster binaries

step "ready: make demo, make test"
