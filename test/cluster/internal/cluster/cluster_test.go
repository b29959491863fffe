package cluster

import (
	"bytes"
	"io"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/metricspipeline/operator/test/cluster/internal/components"
	"github.com/metricspipeline/operator/test/cluster/internal/machine"
)

func testCluster(t *testing.T) *Cluster {
	t.Helper()
	return &Cluster{stateDir: t.TempDir(), log: t.Logf}
}

// A manifest with an image that is not loaded would leave a pod pulling from a registry that is not there.
func TestManifestsUseTheLoadedImages(t *testing.T) {
	builder := &components.Builder{Source: "../../components"}
	manifests := coreDNSManifest + prometheusOperatorManifest + prometheusManifest
	images := slices.Clone(preloaded)
	for _, addon := range optionals {
		manifests += addon.manifest
		images = append(images, addon.images...)
	}
	var loaded []string
	for _, i := range images {
		version, err := builder.Version(i.binary)
		if err != nil {
			t.Fatal(err)
		}
		loaded = append(loaded, i.repository+":"+version)
	}
	references := regexp.MustCompile(`(?m)(?:[iI]mage[:=] ?|reloader=)(\S+)$`)
	found := references.FindAllStringSubmatch(manifests, -1)
	if len(found) != 13 {
		t.Fatalf("found %d image references in the manifests, want 13: %v", len(found), found)
	}
	for _, match := range found {
		if !slices.Contains(loaded, match[1]) {
			t.Errorf("image %s is in a manifest and not loaded; loaded are %v", match[1], loaded)
		}
	}
}

// Prometheus itself is the image of the one that the operator runs there.
func TestWithoutPrometheusNoOperatorOfItIsBuilt(t *testing.T) {
	all := NeededBinaries(Options{})
	less := NeededBinaries(Options{WithoutPrometheus: true})
	for _, name := range []string{components.PrometheusOperator, components.PrometheusConfigReloader} {
		if !slices.Contains(all, name) || slices.Contains(less, name) {
			t.Errorf("%s: with Prometheus %t, without %t", name, slices.Contains(all, name), slices.Contains(less, name))
		}
	}
	for _, name := range []string{components.PrometheusAdapter, components.Prometheus, components.Kubelet} {
		if !slices.Contains(less, name) {
			t.Errorf("%s is needed without Prometheus too", name)
		}
	}
}

func TestWhatEnforcesPoliciesIsBuiltOnDemand(t *testing.T) {
	if slices.Contains(NeededBinaries(Options{}), components.KubeRouter) {
		t.Errorf("up builds %s, which it does not start", components.KubeRouter)
	}
	if !slices.Contains(NeededBinaries(Options{EnforceNetworkPolicies: true}), components.KubeRouter) {
		t.Errorf("%s is not built for a cluster that enforces NetworkPolicies", components.KubeRouter)
	}
}

func TestTheNextControlPlaneTakesThePlaceOfTheOther(t *testing.T) {
	usual := NeededBinaries(Options{})
	after := NeededBinaries(Options{NextControlPlane: true})
	for name, replacement := range next {
		if !slices.Contains(usual, name) || slices.Contains(usual, replacement) {
			t.Errorf("a usual cluster needs %s and not %s: %v", name, replacement, usual)
		}
		if slices.Contains(after, name) || !slices.Contains(after, replacement) {
			t.Errorf("a cluster with the next control plane needs %s and not %s: %v", replacement, name, after)
		}
	}
	s := &starter{binaries: map[string]string{components.KubeAPIServerNext: "/next"}, state: &state{
		Versions: map[string]string{components.KubeAPIServerNext: "v1.37.0"}}}
	s.takeNext(Options{NextControlPlane: true})
	if s.binaries[components.KubeAPIServer] != "/next" || s.state.Versions[components.KubeAPIServer] != "v1.37.0" {
		t.Errorf("what is started as %s is %q of version %q", components.KubeAPIServer,
			s.binaries[components.KubeAPIServer], s.state.Versions[components.KubeAPIServer])
	}
}

func TestAddonsAreNotBuiltByUp(t *testing.T) {
	all := NeededBinaries(Options{})
	for _, name := range Addons() {
		addon, ok := optionals[name]
		if !ok {
			t.Errorf("%s is an optional component and no addon", name)
		}
		for _, binary := range binariesOf(addon.images) {
			if slices.Contains(all, binary) {
				t.Errorf("up builds %s, which it does not start", binary)
			}
		}
	}
}

func TestNewRefusesAPathTooLongForSockets(t *testing.T) {
	_, err := New("/"+strings.Repeat("long", 30), nil, t.Logf)
	if err == nil || !strings.Contains(err.Error(), "must not be longer than 60 bytes") {
		t.Errorf("error is %v", err)
	}
}

func TestLockRefusesAFolderOfOthers(t *testing.T) {
	c := testCluster(t)
	release, err := c.lock()
	if err != nil {
		t.Fatalf("an empty folder: %v", err)
	}
	release()
	if release, err = c.lock(); err != nil {
		t.Fatalf("a folder of this program: %v", err)
	}
	release()
	other := testCluster(t)
	if err := os.WriteFile(other.path("passwd"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := other.lock(); err == nil || !strings.Contains(err.Error(), "is not a state folder") {
		t.Errorf("a folder of others: error is %v", err)
	}
}

func TestStateFolderFollowsLinks(t *testing.T) {
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	link := filepath.Join(dir, "l")
	if err := os.Symlink(os.TempDir(), link); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{link, filepath.Join(link, "new")} {
		resolved, err := resolve(path)
		if err != nil || strings.HasPrefix(resolved, link) {
			t.Errorf("resolve(%s) = %s, %v", path, resolved, err)
		}
	}
}

func TestClustersOfDifferentFoldersHaveDifferentNames(t *testing.T) {
	a, b := &Cluster{stateDir: "/a"}, &Cluster{stateDir: "/b"}
	if a.id() == b.id() || a.id() != (&Cluster{stateDir: "/a"}).id() {
		t.Errorf("ids are %s and %s", a.id(), b.id())
	}
}

func TestStateSurvivesTheProgram(t *testing.T) {
	c := testCluster(t)
	if s, err := c.loadState(); s != nil || err != nil {
		t.Fatalf("state of no cluster: %v, %v", s, err)
	}
	written := &state{path: c.statePath(), HostPort: 1234}
	if err := written.update(func() { written.Complete = true }); err != nil {
		t.Fatal(err)
	}
	read, err := c.loadState()
	if err != nil || !read.Complete || read.HostPort != 1234 {
		t.Errorf("read %+v, %v", read, err)
	}
}

// A machine or a terminal that went away leaves a state, which must not keep the next cluster from starting.
func TestAbandonedClusters(t *testing.T) {
	stat, err := os.ReadFile("/proc/self/stat")
	if err != nil {
		t.Fatal(err)
	}
	// proc(5): the name ends with the last parenthesis and is field 2, the start is field 22.
	fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
	ticks, err := strconv.ParseUint(fields[19], 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	runs := machine.Process{Name: "etcd", PID: os.Getpid(), StartTicks: ticks}
	gone := runs
	gone.StartTicks++ // Another process has its number now.
	for name, tc := range map[string]struct {
		state *state
		want  string
	}{
		"its processes run":      {&state{Complete: true, Processes: []machine.Process{runs}}, ""},
		"one of them is gone":    {&state{Complete: true, Processes: []machine.Process{runs, gone}}, "etcd (process"},
		"its start was cut off":  {&state{Processes: []machine.Process{runs}}, "cut off"},
		"it had not begun to be": {&state{}, "cut off"},
	} {
		if got := tc.state.abandoned(); (got == nil) != (tc.want == "") || got != nil && !strings.Contains(got.Error(), tc.want) {
			t.Errorf("%s: abandoned: %v, want %q", name, got, tc.want)
		}
	}
}

// What ended a cluster is read in its logs, also after the next one has started.
func TestLogsOfAnAbandonedClusterAreKept(t *testing.T) {
	c := testCluster(t)
	if err := c.keepLogs(); err != nil {
		t.Error("without logs:", err)
	}
	for _, content := range []string{"first", "second"} {
		if err := os.MkdirAll(c.logs(), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(c.path("logs", "etcd.log"), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := c.keepLogs(); err != nil {
			t.Fatal(err)
		}
		kept, err := os.ReadFile(filepath.Join(c.previousLogs(), "etcd.log"))
		if string(kept) != content {
			t.Errorf("kept %q, want %q: %v", kept, content, err)
		}
	}
}

func TestRemoveStateKeepsLogsAndWhatIsNotOurs(t *testing.T) {
	c := testCluster(t)
	for _, name := range []string{"logs/etcd.log", "pki/ca.key", "notes.txt", "state.json"} {
		if err := os.MkdirAll(filepath.Dir(c.path(name)), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(c.path(name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := c.removeState(true); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]bool{"logs/etcd.log": true, "notes.txt": true, "pki": false, "state.json": false} {
		if _, err := os.Stat(c.path(name)); (err == nil) != want {
			t.Errorf("%s is there: %t, want %t", name, err == nil, want)
		}
	}
}

func TestRequireCommandsSayHowToGetACluster(t *testing.T) {
	c := testCluster(t)
	if _, err := c.KubeconfigPath(); err == nil || !strings.Contains(err.Error(), "run up first") {
		t.Errorf("kubeconfig: %v", err)
	}
	if err := c.Status(t.Context(), io.Discard); err == nil || !strings.Contains(err.Error(), "the cluster is not up") {
		t.Errorf("status: %v", err)
	}
	if _, err := c.completeState(); err == nil || !strings.Contains(err.Error(), "run up first") {
		t.Errorf("a command on a cluster that is up: %v", err)
	}
}

func TestUnknownAddonNamesWhatThereIs(t *testing.T) {
	err := testCluster(t).InstallAddon(t.Context(), "istio")
	if err == nil || !strings.Contains(err.Error(), `no addon "istio": there are cert-manager`) {
		t.Errorf("error is %v", err)
	}
}

// The answer must arrive whole even if the client has closed its side, as kubectl exec does with its standard input.
func TestForwardKeepsTheAnswerAfterTheClientsEnd(t *testing.T) {
	server := listen(t)
	go func() {
		connection, err := server.Accept()
		if err != nil {
			return
		}
		defer connection.Close()
		question, _ := io.ReadAll(connection)
		_, _ = connection.Write(append([]byte("answer to "), question...))
	}()
	front := listen(t)
	go func() {
		if connection, err := front.Accept(); err == nil {
			_ = forwardOne(connection, server.Addr().String())
		}
	}()
	client, err := net.Dial("tcp", front.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	if _, err := client.Write([]byte("question")); err != nil {
		t.Fatal(err)
	}
	if err := client.(*net.TCPConn).CloseWrite(); err != nil {
		t.Fatal(err)
	}
	answer, err := io.ReadAll(client)
	if err != nil || string(answer) != "answer to question" {
		t.Errorf("got %q, %v", answer, err)
	}
}

func listen(t *testing.T) net.Listener {
	t.Helper()
	listener, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	return listener
}
