#!/usr/bin/env bash
# Fails if a kustomization under config/ does not build, or if the installation would put an object where it cannot work.
set -euo pipefail
cd "$(dirname "$0")/.."
kustomize=$(go tool -modfile=tools/go.mod -n kustomize)

while IFS= read -r file; do
  dir=$(dirname "$file")
  grep -q '^kind: Component' "$file" || "$kustomize" build "$dir" >/dev/null || { echo "$dir does not build" >&2; exit 1; }
done < <(find config -name kustomization.yaml | sort)

# A namespace transformer would move the binding out of kube-system, where it lets the operator read the request header
# CA, and the role there with it. See config/default/kustomization.yaml.
moved=$("$kustomize" build config/default |
  awk 'function done() { if (kind ~ /^Role(Binding)?$/ && ns == "kube-system") seen[kind] = 1 }
       /^---/ {done(); kind = ns = ""} /^kind: / {kind = $2} /^  namespace: / && !ns {ns = $2}
       END {done(); if (!seen["Role"]) print "Role"; if (!seen["RoleBinding"]) print "RoleBinding"}')
if [ -n "$moved" ]; then
  echo "config/default has no object of these kinds left in kube-system: $moved" >&2
  exit 1
fi
echo "config/ builds"
