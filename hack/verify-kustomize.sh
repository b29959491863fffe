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

# No object may go on naming the namespace of config/ where an overlay sets another one, which may be there already.
overlay=$(mktemp -d config/overlay.XXXXXX)
trap 'rm -rf "$overlay"' EXIT
cat >"$overlay/kustomization.yaml" <<'EOF'
namespace: kube-system
resources: [../default]
components: [../components/existing-namespace, ../components/digests]
EOF
moved=$("$kustomize" build "$overlay")
left=$(grep -nE 'metricspipeline-system|^kind: Namespace' <<<"$moved" || true)
if [ -n "$left" ]; then
  printf 'an overlay that installs into kube-system leaves this of another namespace:\n%s\n' "$left" >&2
  exit 1
fi
objects=$(grep -cE '^  namespace: kube-system' <<<"$moved")
if [ "$objects" -lt 15 ] || ! grep -q '@sha256:' <<<"$moved"; then
  echo "an overlay that installs into kube-system has $objects objects there, or pins no image: has config/default lost some?" >&2
  exit 1
fi
echo "config/ builds, in any namespace"
