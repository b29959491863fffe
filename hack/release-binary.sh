#!/usr/bin/env bash
# Builds the operator of a kept release from git, as that release's `make build` does: test/testdata/releases/VERSION/release.yaml
# names the commit. Two version strings in one program would be no upgrade. A program that was built is kept in bin/releases.
# Arguments: VERSION OUT, for example v0.1.0 bin/manager-v0.1.0; or --commit VERSION, to print the commit if it is in this clone.
set -euo pipefail
usage() { echo "usage: $0 VERSION OUT | --commit VERSION" >&2; exit 2; }
[ $# -eq 2 ] || usage
fail() { echo "release-binary: $*" >&2; exit 1; }

# find_commit sets commit to that of a release, which has to be in this clone.
find_commit() {
  local version=$1 file=test/testdata/releases/$1/release.yaml remedy
  [ -f "$file" ] || fail "$version is not a kept release: $file is missing. Kept are:" test/testdata/releases/*/
  commit=$(sed -n 's/^commit: //p' "$file")
  [[ $commit =~ ^[0-9a-f]{40}$ ]] || fail "commit in $file is \"$commit\", want the 40 hexadecimal digits of a commit"
  git rev-parse --git-dir >/dev/null || fail "this is not a git repository, and $version is built from its history: clone the repository"
  if ! git cat-file -e "$commit^{commit}" 2>/dev/null; then
    remedy="git fetch origin $commit"
    [ "$(git rev-parse --is-shallow-repository)" = false ] || remedy="git fetch --unshallow"
    fail "commit $commit of $version is not in this clone, and the upgrade tests need that release: run $remedy"
  fi
}

if [ "$1" = --commit ]; then
  cd "$(dirname "$0")/.."
  find_commit "$2"
  echo "$commit"
  exit
fi
version=$1 out=$(realpath -m "$2")
cd "$(dirname "$0")/.."
find_commit "$version"

# The same commit, toolchain and platform give the same file.
kept=bin/releases/$version-${commit:0:12}-$(go env GOVERSION GOOS GOARCH | paste -sd-)
if [ ! -x "$kept" ]; then
  tree=$(mktemp -d)
  trap 'rm -rf "$tree"' EXIT
  git archive "$commit" | tar -x -C "$tree"
  mkdir -p bin/releases
  # A workspace or flags of today would change what is built. The move at the end leaves no half a file behind.
  (cd "$tree" && GOWORK=off GOFLAGS='' CGO_ENABLED=0 go build -trimpath -buildvcs=false \
    -ldflags "-s -w -X main.version=$version" -o "$tree/manager" ./cmd/manager)
  mv "$tree/manager" "$kept.$$"
  mv "$kept.$$" "$kept"
fi
mkdir -p "$(dirname "$out")"
cp "$kept" "$out.$$"
mv "$out.$$" "$out"
