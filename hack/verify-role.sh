#!/usr/bin/env bash
# Fails if the operator's roles are not those that were proved to be minimal, and whose permissions were missed one by one. The
# proofs take minutes and control planes, so they are made once for each change of the roles, and this only sees whether they are
# about these.
set -euo pipefail
cd "$(dirname "$0")/.."
# The files and their order are those of roleFiles in test/envtest/role/permissions_test.go.
roles=$(cat config/rbac/{role,leader_election_role,adapter_aggregate_role}.yaml | sha256sum | cut -d' ' -f1)

for proof in test/envtest/role/{proof,missing}.txt; do
  if ! grep -qx "roles sha256:$roles" "$proof"; then
    echo "the operator's roles in config/rbac have changed: run make test-role, which proves them again and writes $proof" >&2
    exit 1
  fi
done
echo "the operator's roles are proved to be minimal, and a missing permission is named"
