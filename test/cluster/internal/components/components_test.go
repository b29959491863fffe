package components

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// source is the folder of the components in this checkout.
const source = "../../components"

func TestEveryComponentIsPinned(t *testing.T) {
	for _, component := range All {
		version, err := component.version(source)
		if err != nil {
			t.Error(err)
			continue
		}
		if !strings.HasPrefix(version, "v") {
			t.Errorf("component %s has version %q, want v...", component.Name, version)
		}
	}
	folders, err := os.ReadDir(source)
	if err != nil {
		t.Fatal(err)
	}
	for _, folder := range folders {
		if !slices.ContainsFunc(All, func(c Component) bool { return c.folder() == folder.Name() }) {
			t.Errorf("no component of the table is in the folder %s", folder.Name())
		}
	}
}

func TestReleaseVersion(t *testing.T) {
	for _, test := range []struct{ module, version, want string }{
		{"k8s.io/kubernetes", "v1.36.3", "v1.36.3"},
		{"github.com/prometheus/prometheus", "v0.305.1", "v3.5.1"},
		{"github.com/prometheus/prometheus", "v0.310.0", "v3.10.0"},
		{"github.com/prometheus/prometheus", "v3.5.1", "v3.5.1"},
		{"sigs.k8s.io/prometheus-adapter", "v0.12.0", "v0.12.0"},
	} {
		if got := releaseVersion(test.module, test.version); got != test.want {
			t.Errorf("releaseVersion(%s, %s) = %s, want %s", test.module, test.version, got, test.want)
		}
	}
}

func TestBuiltName(t *testing.T) {
	for pkg, want := range map[string]string{
		"k8s.io/kubernetes/cmd/kubelet": "kubelet",
		"go.etcd.io/etcd/server/v3":     "server",
		"github.com/coredns/coredns":    "coredns",
		"example.test/v":                "v",
		"example.test/very":             "very",
	} {
		if got := builtName(pkg); got != want {
			t.Errorf("builtName(%s) = %s, want %s", pkg, got, want)
		}
	}
}

func TestLdflagsCarryTheVersion(t *testing.T) {
	kubernetes, err := ByName("kubernetes")
	if err != nil {
		t.Fatal(err)
	}
	flags := kubernetes.ldflags("v1.36.3")
	for _, want := range []string{
		"-s -w", "-X k8s.io/component-base/version.gitVersion=v1.36.3", "version.gitMajor=1 ", "version.gitMinor=36",
	} {
		if !strings.Contains(flags, want) {
			t.Errorf("flags %q lack %q", flags, want)
		}
	}
}

func TestDigestFollowsWhatABuildDependsOn(t *testing.T) {
	dir := t.TempDir()
	write := func(name, content string) {
		t.Helper()
		path := filepath.Join(dir, "some", name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	component := Component{Name: "some"}
	digest := func(flags, toolchain string) string {
		t.Helper()
		digest, err := component.digest(dir, flags, toolchain)
		if err != nil {
			t.Fatal(err)
		}
		return digest
	}
	write("go.mod", "module some")
	first := digest("-s", "go1.26.8 linux amd64")
	if again := digest("-s", "go1.26.8 linux amd64"); again != first {
		t.Errorf("the digest of the same input changed from %s to %s", first, again)
	}
	others := []string{first, digest("-w", "go1.26.8 linux amd64"), digest("-s", "go1.26.9 linux amd64")}
	write("go.mod", "module some // changed")
	others = append(others, digest("-s", "go1.26.8 linux amd64"))
	write("go.sum", "")
	others = append(others, digest("-s", "go1.26.8 linux amd64"))
	slices.Sort(others)
	if len(slices.Compact(others)) != 5 {
		t.Errorf("a change of flags, toolchain or files gave an old digest: %v", others)
	}
}

func TestBinariesNamesWhatThereIs(t *testing.T) {
	builder := &Builder{Source: source, Cache: t.TempDir(), Log: t.Logf}
	_, err := builder.Binaries(t.Context(), "kubeadm")
	if err == nil || !strings.Contains(err.Error(), "kube-apiserver, kube-controller-manager") {
		t.Errorf("error %v does not list the binaries", err)
	}
}

func TestDirectoryHoldsWorkingBinariesBuiltOnce(t *testing.T) {
	var log []string
	builder := &Builder{Source: source, Cache: t.TempDir(), Log: func(format string, _ ...any) { log = append(log, format) }}
	dir, err := builder.Directory(t.Context(), Pause)
	if err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(filepath.Join(dir, Pause)); err != nil || info.Mode()&0o111 == 0 {
		t.Errorf("no executable in %s: %v", dir, err)
	}
	lines := len(log)
	again, err := builder.Directory(t.Context(), Pause)
	if err != nil || again != dir || len(log) != lines {
		t.Errorf("second call: folder %s (want %s), error %v, logged %v", again, dir, err, log[lines:])
	}
}

func TestFindSource(t *testing.T) {
	want, err := filepath.Abs(source)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := FindSource(""); err != nil || got != want {
		t.Errorf("from inside the checkout: %s, %v; want %s", got, err, want)
	}
	if _, err := FindSource(t.TempDir()); err == nil {
		t.Error("an empty folder was taken for the components")
	}
}
