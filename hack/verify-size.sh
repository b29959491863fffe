#!/usr/bin/env bash
# Checks that files can be read in one sitting: about 300 lines is the rule, 350 the limit. Generated files
# and test data are not read that way. The linter checks the same for code without its comments.
set -euo pipefail
cd "$(dirname "$0")/.."
readonly rule=300 limit=350

too_long=0
while IFS= read -r file; do
  [ -f "$file" ] || continue
  lines=$(wc -l <"$file")
  if [ "$lines" -gt "$limit" ]; then
    echo "$file has $lines lines, more than $limit: split it by what its parts are for" >&2
    too_long=1
  elif [ "$lines" -gt "$rule" ]; then
    echo "warning: $file has $lines lines, the rule is $rule"
  fi
done < <(git ls-files --cached --others --exclude-standard -- '*.go' '*.sh' '*.yaml' '*.yml' '*.md' Makefile .ci |
  grep -Ev '(^|/)zz_generated|^config/crd/bases/|^config/rbac/role.yaml$|^bundle/manifests/|^docs/reference/|^charts/[^/]*/(crds|templates/config)/|^CHANGELOG|(^|/)testdata/|\.crd\.yaml$' | sort -u)
[ "$too_long" -eq 0 ] || exit 1
echo "no file is over $limit lines"
