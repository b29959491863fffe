package components

import (
	"os"
	"path/filepath"
	"slices"
	"testing"

	"golang.org/x/mod/modfile"
)

// TestPackagesAreShared: a module in another version has all that depends on it compiled a second time, which is most of
// Kubernetes' libraries.
func TestPackagesAreShared(t *testing.T) {
	for folder, different := range map[string][]string{
		// What each requires of its own, and no package of Kubernetes depends on.
		"metrics-server": {"github.com/prometheus/prometheus", "github.com/grafana/regexp"},
		"cert-manager":   {"sigs.k8s.io/controller-runtime"},
	} {
		ours, theirs := selected(t, shared), selected(t, folder)
		if len(theirs) < 50 {
			t.Errorf("%s requires only %d modules", folder, len(theirs))
		}
		for module, version := range theirs {
			want, both := ours[module]
			if both && version != want && !slices.Contains(different, module) {
				t.Errorf("%s is built from %s %s, the components of the folder %s from %s: raise the lower",
					folder, module, version, shared, want)
			}
		}
	}
}

// TestKubernetesDecidesByItsOwnLibraries: what the others require must not change how the API server validates and applies.
func TestKubernetesDecidesByItsOwnLibraries(t *testing.T) {
	builder := &Builder{Source: source, Cache: t.TempDir(), Log: t.Logf}
	dir, err := builder.ModuleDir(t.Context(), "kubernetes")
	if err != nil {
		t.Fatal(err)
	}
	upstream := versions(t, filepath.Join(dir, "go.mod"))
	ours := selected(t, shared)
	for _, module := range []string{
		"github.com/google/cel-go", "k8s.io/kube-openapi", "sigs.k8s.io/structured-merge-diff/v6",
		"gopkg.in/evanphx/json-patch.v4", "sigs.k8s.io/json",
	} {
		if upstream[module] == "" || ours[module] != upstream[module] {
			t.Errorf("%s is %s, and Kubernetes requires %q: replace it", module, ours[module], upstream[module])
		}
	}
}

// selected are the versions from which the components of a folder are built, by module.
func selected(t *testing.T, folder string) map[string]string {
	t.Helper()
	return versions(t, filepath.Join(source, folder, "go.mod"))
}

// versions are those of a tidy go.mod, after its replacements.
func versions(t *testing.T, path string) map[string]string {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	file, err := modfile.Parse(path, content, nil)
	if err != nil {
		t.Fatal(err)
	}
	result := map[string]string{}
	for _, require := range file.Require {
		result[require.Mod.Path] = require.Mod.Version
	}
	for _, replace := range file.Replace {
		if _, required := result[replace.Old.Path]; required && replace.New.Version != "" {
			result[replace.Old.Path] = replace.New.Version
		}
	}
	return result
}
