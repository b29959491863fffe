#!/usr/bin/env bash
# Fails if a kustomization under config/ does not build, or if the installation would put an object where it cannot work.
set -euo pipefail
cd "$(dirname "$0")/.."
kustomize=$(go tool -modfile=tools/go.mod -n kustomize)

while IFS= read -r file; do
  dir=$(dirname "$file")
  grep -q '^kind: Component' "$file" || "$kustomize" build "$dir" >/dev/null || { echo "$dir does not build" >&2; exit 1; }
done < <(find config -name kustomization.yaml | sort)

# An overlay can move the installation by `namespace:` as long as all of it is in one namespace. A Role in another one could not be
# part of a bundle of OLM either.
elsewhere=$("$kustomize" build config/default | grep -E '^  namespace: ' | grep -vx '  namespace: metricspipeline-system' | sort -u || true)
if [ -n "$elsewhere" ]; then
  echo "config/default has objects in other namespaces than metricspipeline-system:" $elsewhere >&2
  exit 1
fi
# Each component as in an overlay of a user, for another namespace: what it adds has to move as well.
overlay=$(mktemp -d config/verify-XXXXXX)
trap 'rm -rf "$overlay"' EXIT
for component in config/components/*/; do
  cat >"$overlay/kustomization.yaml" <<OVERLAY
apiVersion: kustomize.config.k8s.io/v1beta1
kind: Kustomization
namespace: elsewhere
resources: [../default]
components: [../components/$(basename "$component")]
OVERLAY
  built=$("$kustomize" build "$overlay") || { echo "an overlay with $component does not build" >&2; exit 1; }
  if grep -q metricspipeline-system <<<"$built"; then
    echo "an overlay with namespace: elsewhere and $component leaves objects in metricspipeline-system" >&2
    exit 1
  fi
  case $component in */existing-namespace/)
    if grep -q '^kind: Namespace' <<<"$built"; then echo "$component keeps a Namespace" >&2; exit 1; fi
  esac
done
echo "config/ builds"
