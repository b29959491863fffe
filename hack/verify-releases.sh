#!/usr/bin/env bash
# Fails if the install.yaml of a kept release is not what its commit writes, if the API takes away something that a release had, or if
# docs/upgrade.md does not name an object that was installed then or now alone. Without the history it fails too, with the remedy.
set -euo pipefail
cd "$(dirname "$0")/.."
tree=$(mktemp -d)
trap 'rm -rf "$tree"' EXIT
kustomize=$(go tool -modfile=tools/go.mod -n kustomize)

# objects prints kind and name of each object of manifests as kustomize writes them.
objects() {
  awk '/^kind: / {kind = $2} /^[a-z]/ {meta = /^metadata:/} meta && /^  name: / {print kind " " $2; meta = 0}' | sort -u
}
"$kustomize" build config/default | objects >"$tree/present"

failed=0
for folder in test/testdata/releases/*/; do
  folder=${folder%/} version=$(basename "$folder")
  commit=$(hack/release-binary.sh --commit "$version")
  mkdir "$tree/$version"
  git archive "$commit" | tar -x -C "$tree/$version"
  # As the release was made: without the version, flags and job server of the make that runs this.
  env -u VERSION -u IMG -u MAKEFLAGS -u MAKELEVEL -u MFLAGS GOWORK=off GOFLAGS= make -s -C "$tree/$version" build-installer >/dev/null
  if ! diff -u "$folder/install.yaml" "$tree/$version/dist/install.yaml"; then
    echo "$folder/install.yaml is not what \`make build-installer\` of $commit writes: copy that" >&2
    failed=1
  fi
  sample=config/samples/metricspipeline_v1alpha1_metricspipeline_rules.yaml
  if ! diff -u "$folder/pipeline.yaml" "$tree/$version/$sample"; then
    echo "$folder/pipeline.yaml is not $sample of $commit: copy that" >&2
    failed=1
  fi
  while read -r kind name; do
    if ! grep -qF "\`$kind $name\`" docs/upgrade.md; then
      echo "$kind $name is installed by $version or by the present version alone: name it in docs/upgrade.md as \`$kind $name\`" >&2
      failed=1
    fi
  done < <(objects <"$folder/install.yaml" | comm -3 - "$tree/present" | tr -d '\t')
done
# Not from the cache: Go does not see that files outside of the module have changed.
go test -C tools/compat -count=1 ./... || failed=1
[ "$failed" -eq 0 ] || exit 1
echo "the kept releases are what their commits write, and the API has all that they had"
