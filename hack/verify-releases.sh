#!/usr/bin/env bash
# Fails if the install.yaml of a kept release is not what its commit writes, or if the API takes away something that a release had.
# Without the history it fails too, with the remedy.
set -euo pipefail
cd "$(dirname "$0")/.."
tree=$(mktemp -d)
trap 'rm -rf "$tree"' EXIT

for folder in test/testdata/releases/*/; do
  version=$(basename "$folder")
  commit=$(hack/release-binary.sh --commit "$version")
  mkdir "$tree/$version"
  git archive "$commit" | tar -x -C "$tree/$version"
  # As the release was made: without the versions, flags and job server of the make that runs this.
  env -u VERSION -u IMG -u MAKEFLAGS -u MAKELEVEL -u MFLAGS GOWORK=off GOFLAGS= make -s -C "$tree/$version" build-installer >/dev/null
  if ! diff -u "$folder/install.yaml" "$tree/$version/dist/install.yaml"; then
    echo "$folder/install.yaml is not what \`make build-installer\` of $commit writes: copy that" >&2
    exit 1
  fi
done
go test -C tools/compat ./...
echo "the kept releases are what their commits write, and the API has all that they had"
