#!/usr/bin/env bash
# Fails if what keeps a fault in its component is not what was proved to, in each scenario. The proof takes minutes and control
# planes, so it is made once for each change, and this only sees whether it is about these sources. With the argument "digest" it
# prints their digest.
set -euo pipefail
cd "$(dirname "$0")/.."
readonly proof=test/envtest/faults/isolation.txt

# What decides for each component alone, and what the proof goes through. Whatever they call is proved by tests of its own.
sources() {
  find internal/controller/pipeline internal/operand -name '*.go' ! -name '*_test.go' ! -path '*/operandtest/*'
  ls test/envtest/faults/{isolation,isolation_product,scenarios,scenarios_managed,scenarios_ownership}_test.go
}
digest=$(sources | LC_ALL=C sort | xargs sha256sum | sha256sum | cut -d' ' -f1)

if [ "${1:-}" = digest ]; then
  echo "$digest"
elif ! grep -qx "sources sha256:$digest" "$proof"; then
  echo "what keeps a fault in its component has changed: run make test-isolation, which proves it again and writes $proof" >&2
  exit 1
else
  echo "each fault is proved to stay in its component, in each scenario"
fi
