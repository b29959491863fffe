#!/usr/bin/env bash
# Prepares a machine that has only Go and make for a target: installs Debian packages, fetches modules and builds, and says how
# far it is. What is there already is left as it is, in about a second. Arguments: demo, test, or all for whatever any target
# needs; then the Debian packages that the test cluster and the race detector need.
set -euo pipefail
cd "$(dirname "$0")/.."
target=$1
shift

fetched=$(mktemp) installed=$(mktemp)
trap 'rm -f "$fetched" "$installed"' EXIT

step() { printf '\n=== [%d min %02d s] %s\n' $((SECONDS / 60)) $((SECONDS % 60)) "$*"; }

# wait_for waits for a job and shows its output only if it fails.
wait_for() {
  wait "$1" || { cat "$2" >&2; exit 1; }
}

own_cluster() { [ "$target" != demo ] || [ -z "${KUBECONFIG:-}" ]; }

missing_packages() {
  local known
  known=$(dpkg-query --show --showformat='${db:Status-Abbrev} ${Package}\n' "$@" 2>/dev/null | sed -n 's/^ii *//p' || true)
  comm -23 <(printf '%s\n' "$@" | sort) <(sort <<<"$known")
}

install_packages() (
  export DEBIAN_FRONTEND=noninteractive
  apt-get update -q
  # The test cluster runs a containerd of its own; Debian's service would be one more process left behind.
  policy=/usr/sbin/policy-rc.d
  if [ ! -e "$policy" ]; then
    trap 'rm -f "$policy"' EXIT
    printf '#!/bin/sh\nexit 101\n' >"$policy"
    chmod +x "$policy"
  fi
  apt-get install -y -q --no-install-recommends "$@"
)

# fetch downloads the modules of what is built below, all at once, and compiles nothing.
fetch() {
  local jobs=() folders=() folder job
  go list -deps -test ./... >/dev/null & jobs+=($!)
  if [ "$target" != demo ]; then
    # Less what make test-stack alone needs: it is more than all else, and fetched where that runs. test-envtest reads the CRDs of two.
    go -C test/cluster/components/keda mod download github.com/kedacore/keda/v2 & jobs+=($!)
    go -C test/cluster/components/next mod download k8s.io/autoscaler/vertical-pod-autoscaler & jobs+=($!)
    mapfile -t folders < <(printf '%s\n' test/cluster/components/*/ | grep -vE '/(keda|next|traefik)/$')
  elif own_cluster; then
    folders=(test/cluster/components/{shared,metrics-server,prometheus,prometheus-adapter}/)
  fi
  for folder in "${folders[@]}"; do
    go -C "$folder" list -deps tool ./... >/dev/null & jobs+=($!)
  done
  for job in "${jobs[@]}"; do wait "$job"; done
}

mapfile -t missing < <(missing_packages "$@")
if own_cluster && [ "$(id -u)" -ne 0 ]; then
  if [ "$target" = demo ]; then
    echo "not root: the demo runs a cluster of its own on this machine; run sudo make demo, or name a cluster in KUBECONFIG" >&2
    exit 1
  elif [ "$target" = all ] && [ ${#missing[@]} -gt 0 ]; then
    echo "not root: run this yourself, then make setup again:" >&2
    echo "  sudo apt-get install -y --no-install-recommends ${missing[*]}" >&2
    exit 1
  fi
  missing=() # Tests on a real node say themselves that they cannot run.
fi

fetching= installing=
if own_cluster && [ ${#missing[@]} -gt 0 ]; then
  step "installing Debian packages, beside what follows: ${missing[*]}"
  install_packages "${missing[@]}" >"$installed" 2>&1 &
  installing=$!
fi

# The minutes are those of two cores and no build cache. What the longest step has left it measures itself.
total=13
if [ ! -x bin/cluster ]; then
  step "1 of 4, about $total min left the first time: the program that runs the cluster; modules are fetched beside it"
  fetch >"$fetched" 2>&1 &
  fetching=$!
fi
make bin/cluster
case $target in
  demo)
    [ -x bin/demo ] || step "2 of 4, about $((total - 1)) min left: the operator and the demo, two minutes"
    make build dist/install.yaml bin/sample-app bin/demo
    ;;
  all)
    step "2 of 4, about $((total - 1)) min left: the tools, two minutes"
    go tool -modfile=tools/go.mod controller-gen --version
    go tool -modfile=tools/go.mod kustomize version
    go tool -modfile=tools/lint/go.mod golangci-lint-kube-api-linter version
    ;;
esac
[ -z "$fetching" ] || wait_for "$fetching" "$fetched"
[ -z "$installing" ] || wait_for "$installing" "$installed"
if own_cluster; then
  [ -z "$fetching" ] || step "3 of 4: the programs of the cluster"
  case $target in
    demo) bin/cluster binaries --for-up --without-prometheus >/dev/null ;;
    *) bin/cluster binaries >/dev/null ;;
  esac
fi
case $target in
  demo) [ -z "$fetching" ] || step "4 of 4, about 2 min left: the demo" ;;
  all) step "ready: make demo, make test" ;;
esac
