package machine

import (
	"os"
	"strings"
	"testing"
)

func TestParseMount(t *testing.T) {
	for _, test := range []struct {
		line string
		want mount
		ok   bool
	}{
		{`36 35 98:0 / /sys/fs/cgroup/pids rw,relatime - cgroup cgroup rw,pids`, mount{"/sys/fs/cgroup/pids", "cgroup"}, true},
		{`99 35 0:4 net:[4026532] /a/run/netns rw shared:7 master:2 - nsfs nsfs rw`, mount{"/a/run/netns", "nsfs"}, true},
		{`99 35 0:4 / /with\040blank rw - tmpfs tmpfs rw`, mount{"/with blank", "tmpfs"}, true},
		{`99 35 0:4 / /cut rw`, mount{}, false},
		{``, mount{}, false},
	} {
		if got, ok := parseMount(test.line); got != test.want || ok != test.ok {
			t.Errorf("parseMount(%q) = %v, %t; want %v, %t", test.line, got, ok, test.want, test.ok)
		}
	}
}

func TestParseStat(t *testing.T) {
	line := "42 (a (strange) name) S 1 42 42 0 -1 4194560 10 0 0 0 1 2 0 0 20 0 9 0 987654 1000 5"
	ticks, state, err := parseStat([]byte(line))
	if err != nil || ticks != 987654 || state != 'S' {
		t.Errorf("got %d, %c, %v; want 987654, S", ticks, state, err)
	}
	if _, _, err := parseStat([]byte("42 (short) S 1")); err == nil {
		t.Error("a short line was accepted")
	}
}

func TestAliveTellsAReusedIDApart(t *testing.T) {
	ticks, _, err := processStat(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	if !(Process{PID: os.Getpid(), StartTicks: ticks}).Alive() {
		t.Error("this process is said to be gone")
	}
	if (Process{PID: os.Getpid(), StartTicks: ticks + 1}).Alive() {
		t.Error("a process that started at another time is taken for this one")
	}
}

func TestCheckPackagesSaysWhatToInstall(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	err := checkPackages(nil)
	if err == nil {
		t.Fatal("nothing is missing in an empty folder")
	}
	const want = "run: apt-get install --yes --no-install-recommends " +
		"conntrack containerd containernetworking-plugins iproute2 ipset iptables nftables runc"
	if !strings.HasSuffix(err.Error(), want) {
		t.Errorf("error %q does not end with %q", err, want)
	}
}
