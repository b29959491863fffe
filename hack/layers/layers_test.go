package layers

import (
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sort"
	"strings"
	"testing"
)

// linterModfile pins the linter, linter is its command there.
const (
	linterModfile = "tools/lint/go.mod"
	linter        = "golangci-lint-kube-api-linter"
)

// TestEveryPackageHasALayer fails for a package that no layer has.
func TestEveryPackageHasALayer(t *testing.T) {
	err := fs.WalkDir(os.DirFS(root(t)), "internal", func(path string, entry fs.DirEntry, err error) error {
		if err != nil || filepath.Ext(path) != ".go" {
			return err
		}
		if folder := filepath.ToSlash(filepath.Dir(path)); Allowed[folder] == nil && !entry.IsDir() {
			t.Errorf("%s has no layer: enter it in hack/layers/layers.go and in .golangci.yml", folder)
			return fs.SkipDir
		}
		return nil
	})
	if err != nil {
		t.Fatalf("reading internal/: %v", err)
	}
}

// TestLinterRefusesCrossedLayers writes a module of the same shape with one import for every ordered pair of packages,
// runs the project's own linter configuration over it, and compares what is refused with what Allowed does not list.
func TestLinterRefusesCrossedLayers(t *testing.T) {
	dir := t.TempDir()
	want := writePairs(t, dir)
	got := refused(t, dir)

	for _, pair := range want {
		if !slices.Contains(got, pair) {
			t.Errorf("%s crosses a layer and the linter lets it pass: add it to depguard in .golangci.yml", pair)
		}
	}
	for _, pair := range got {
		if !slices.Contains(want, pair) {
			t.Errorf("%s is allowed by hack/layers/layers.go and the linter refuses it", pair)
		}
	}
	if len(want) == 0 {
		t.Error("no pair of packages is forbidden: the test proves nothing")
	}
}

// root is the top folder of the repository: tests run in their package's folder.
func root(t *testing.T) string {
	t.Helper()
	dir, err := filepath.Abs("../..")
	if err != nil {
		t.Fatalf("finding the top folder: %v", err)
	}
	return dir
}

// writePairs writes the module and returns the forbidden imports in the form "from -> to". Every import stands in a
// package of its own below the importing layer, where the same rule applies and no import cycle can arise.
func writePairs(t *testing.T, dir string) []string {
	t.Helper()
	config, err := os.ReadFile(filepath.Join(root(t), ".golangci.yml"))
	if err != nil {
		t.Fatalf("reading the linter's configuration: %v", err)
	}
	write(t, dir, ".golangci.yml", string(config))
	write(t, dir, "go.mod", "module "+Module+"\n\ngo 1.26\n")

	var forbidden []string
	for from, allowed := range Allowed {
		write(t, dir, from+"/doc.go", "package "+strings.ReplaceAll(filepath.Base(from), "-", "")+"\n")
		for to := range Allowed {
			if from == to || strings.HasPrefix(to, "cmd/") {
				continue // a program cannot be imported
			}
			file := fmt.Sprintf("%s/to_%s/import.go", from, filepath.Base(to))
			write(t, dir, file, fmt.Sprintf("package pair\n\nimport _ %q\n", Module+"/"+to))
			if !slices.Contains(allowed, to) {
				forbidden = append(forbidden, from+" -> "+to)
			}
		}
	}
	sort.Strings(forbidden)
	return forbidden
}

// write puts one file below dir and makes the folders on the way.
func write(t *testing.T, dir, name, text string) {
	t.Helper()
	path := filepath.Join(dir, filepath.FromSlash(name))
	if err := os.MkdirAll(filepath.Dir(path), 0o750); err != nil {
		t.Fatalf("making the folder of %s: %v", name, err)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatalf("writing %s: %v", name, err)
	}
}

// refused runs depguard alone over dir and returns the imports that it reports, in the form "from -> to".
func refused(t *testing.T, dir string) []string {
	t.Helper()
	binary := toolPath(t)
	cmd := exec.CommandContext(t.Context(), binary, "run",
		"--enable-only=depguard", "--issues-exit-code=0", "--allow-parallel-runners",
		"--output.json.path=stdout", "--output.text.path=stderr", "--show-stats=false", "./...")
	cmd.Dir = dir
	// The temporary module has no requirements: neither a workspace nor the caller's flags apply to it.
	cmd.Env = append(os.Environ(), "GOFLAGS=", "GOWORK=off", "GOLANGCI_LINT_CACHE="+t.TempDir())
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("running the linter: %v\n%s", err, stderr.String())
	}

	var report struct {
		Issues []struct {
			FromLinter string
			Text       string
			Pos        struct{ Filename string }
		}
	}
	if err := json.Unmarshal(out, &report); err != nil {
		t.Fatalf("reading the linter's report: %v\n%s", err, out)
	}
	var pairs []string
	for _, issue := range report.Issues {
		if issue.FromLinter != "depguard" {
			t.Fatalf("the linter could not read the generated module: %s: %s", issue.Pos.Filename, issue.Text)
		}
		from, _, _ := strings.Cut(filepath.ToSlash(issue.Pos.Filename), "/to_")
		_, to, _ := strings.Cut(issue.Text, Module+"/")
		to, _, _ = strings.Cut(to, "'")
		pairs = append(pairs, from+" -> "+to)
	}
	return pairs
}

// toolPath builds the pinned linter where it is not in the build cache yet, and returns its path.
func toolPath(t *testing.T) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go", "tool", "-modfile="+linterModfile, "-n", linter)
	cmd.Dir = root(t)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("building the linter from %s: %v\n%s", linterModfile, err, out)
	}
	return strings.TrimSpace(string(out))
}
