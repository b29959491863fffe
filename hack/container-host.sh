#!/usr/bin/env bash
# Says whether this machine can run the test cluster. Exit code 0: yes. 1: it could, and something is missing that can be
# installed. 2: it cannot, so tests on a real node are not possible here; the reason is printed, so that this is not taken
# for success.
set -uo pipefail

cannot() {
  local bar='!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!'
  printf '\n%s\n!! THE TESTS ON A REAL NODE DID NOT RUN: %s\n!! Run make test-e2e as root on a Linux machine that can run containers.\n%s\n' \
    "$bar" "$1" "$bar" >&2
  exit 2
}

[ "$(uname -s)" = Linux ] || cannot "this is $(uname -s), not Linux"
[ "$(id -u)" -eq 0 ] || cannot "user $(id -un) is not root"
unshare --net --mount true 2>/dev/null || cannot "this machine does not allow new network and mount namespaces"
grep -q cgroup /proc/mounts || cannot "no cgroup file system is mounted"

missing=()
for program in containerd runc nft iptables ipset conntrack ip; do
  command -v "$program" >/dev/null || missing+=("$program")
done
if [ ${#missing[@]} -gt 0 ]; then
  echo "missing programs: ${missing[*]}; run make setup" >&2
  exit 1
fi
