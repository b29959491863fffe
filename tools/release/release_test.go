// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// root of the repository.
func root(t *testing.T) string {
	t.Helper()
	dir, err := findRoot()
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

// commitTree makes a repository of this one's files as they are, committed or not, and returns its folder.
func commitTree(t *testing.T, dir string) string {
	t.Helper()
	from := root(t)
	list, err := exec.CommandContext(t.Context(), "git", "-C", from, "ls-files", "-z", "--cached", "--others", "--exclude-standard").Output()
	if err != nil {
		t.Fatalf("list the files: %v", err)
	}
	for name := range strings.SplitSeq(strings.TrimSuffix(string(list), "\x00"), "\x00") {
		content, err := os.ReadFile(filepath.Join(from, name))
		if os.IsNotExist(err) { // Deleted, and not yet committed.
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		info, err := os.Stat(filepath.Join(from, name))
		if err != nil {
			t.Fatal(err)
		}
		to := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(to, content, info.Mode().Perm()); err != nil {
			t.Fatal(err)
		}
	}
	for _, args := range [][]string{{"init", "--quiet"}, {"add", "--all"}, {"commit", "--quiet", "--message=Everything"}} {
		command := exec.CommandContext(t.Context(), "git", args...)
		command.Dir = dir
		command.Env = append(os.Environ(), "GIT_CONFIG_GLOBAL=/dev/null", "GIT_CONFIG_SYSTEM=/dev/null",
			"GIT_AUTHOR_NAME=test", "GIT_AUTHOR_EMAIL=test@example.com", "GIT_AUTHOR_DATE=2026-01-01T00:00:00Z",
			"GIT_COMMITTER_NAME=test", "GIT_COMMITTER_EMAIL=test@example.com", "GIT_COMMITTER_DATE=2026-01-01T00:00:00Z")
		if out, err := command.CombinedOutput(); err != nil {
			t.Fatalf("git %v: %v\n%s", args, err, out)
		}
	}
	return dir
}

// current is the version that the files have.
func current(t *testing.T) string {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(root(t), versions[0].file))
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(content), versions[0].before)
	version, _, _ := strings.Cut(rest, "\n")
	return version
}

// TestReproducible builds a release of this tree twice, in folders whose paths have not even the same length: every file is the same.
// For one platform, that of this machine, for which the packages are compiled already.
func TestReproducible(t *testing.T) {
	platform := "linux/" + runtime.GOARCH
	tree := commitTree(t, t.TempDir()) // Once: what is in the works may change between two builds.
	var sums []string
	for _, folder := range []string{"a", "another-folder/below"} {
		folder = filepath.Join(t.TempDir(), folder)
		if out, err := exec.CommandContext(t.Context(), "git", "clone", "--quiet", tree, folder).CombinedOutput(); err != nil {
			t.Fatalf("git clone: %v\n%s", err, out)
		}
		r := &release{Root: folder, Version: current(t), Platforms: []string{platform}, PluginPlatforms: []string{platform}}
		var out bytes.Buffer
		r.Out = &out
		if err := build(t.Context(), r); err != nil {
			t.Fatalf("%v\n%s", err, out.String())
		}
		content, err := os.ReadFile(filepath.Join(r.dist, "SHA256SUMS"))
		if err != nil {
			t.Fatal(err)
		}
		sums = append(sums, string(content))
		if len(sums) == 1 {
			testContent(t, r)
		}
	}
	if diff := cmp.Diff(strings.Split(sums[0], "\n"), strings.Split(sums[1], "\n")); diff != "" {
		t.Errorf("the same tree in two folders:\n%s", diff)
	}
}

// testContent reads what was released as those who use it do.
func testContent(t *testing.T, r *release) {
	t.Helper()
	check := exec.CommandContext(t.Context(), "sha256sum", "--check", "--quiet", "SHA256SUMS")
	check.Dir = r.dist
	if out, err := check.CombinedOutput(); err != nil {
		t.Errorf("sha256sum --check: %v\n%s", err, out)
	}
	install, err := os.ReadFile(filepath.Join(r.dist, "install.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(install), "image: "+r.image+"\n") {
		t.Errorf("install.yaml has not the image of the release, %s", r.image)
	}
	digest := strings.TrimPrefix(r.image, imageRepository+"@sha256:")
	if _, err := os.Stat(filepath.Join(r.dist, "operator.oci", "blobs", "sha256", digest)); err != nil {
		t.Errorf("the image of install.yaml is not in operator.oci: %v", err)
	}
	chart, err := exec.CommandContext(t.Context(), "tar", "--extract", "--gzip", "--to-stdout",
		"--file="+filepath.Join(r.dist, "metricspipeline-operator-"+strings.TrimPrefix(r.Version, "v")+".tgz"),
		"metricspipeline-operator/values.yaml").Output()
	if err != nil || !strings.Contains(string(chart), "digest: sha256:"+digest) {
		t.Errorf("the chart has not the image of the release: %v\n%s", err, chart)
	}
	testPlugin(t, r)
}

// TestRefused: what nobody could build again, or would find under another name, is not released.
func TestRefused(t *testing.T) {
	dir := commitTree(t, t.TempDir())
	version := current(t)
	for name, test := range map[string]struct {
		version, change, want string
	}{
		"a version that is none":           {version: "latest", want: "VERSION=latest is not a release: it has to be of the form vX.Y.Z"},
		"a version without v":              {version: strings.TrimPrefix(version, "v"), want: "of the form vX.Y.Z"},
		"a pre-release":                    {version: version + "-rc.1", want: "of the form vX.Y.Z"},
		"a version that files do not have": {version: "v9.0.0", want: "VERSION=v9.0.0 is to be released, but Makefile has \"" + version},
		"a changed file":                   {version: version, change: "README.md", want: "README.md"},
		"a new file":                       {version: version, change: "new.go", want: "new.go"},
	} {
		t.Run(name, func(t *testing.T) {
			if test.change != "" {
				changed := filepath.Join(dir, test.change)
				was, missing := os.ReadFile(changed)
				if err := os.WriteFile(changed, []byte("changed"), 0o644); err != nil {
					t.Fatal(err)
				}
				t.Cleanup(func() {
					_ = os.WriteFile(changed, was, 0o644)
					if missing != nil {
						_ = os.Remove(changed)
					}
				})
			}
			err := (&release{Root: dir, Version: test.version}).check(t.Context())
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %v, want an error with %q", err, test.want)
			}
		})
	}
	r := &release{Root: dir, Version: version}
	if err := r.check(t.Context()); err != nil {
		t.Errorf("a committed tree of that version: %v", err)
	}
	if want := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC); os.Getenv("SOURCE_DATE_EPOCH") == "" && !r.time.Equal(want) {
		t.Errorf("the time of the release is %v, want that of the commit, %v", r.time, want)
	}
}

// TestNothingPublished: without IMG nothing is applied, and no file is written, that names an image which is nowhere.
func TestNothingPublished(t *testing.T) {
	for _, target := range []string{"deploy", "build-installer"} {
		command := exec.CommandContext(t.Context(), "make", target)
		command.Dir = root(t)
		for _, variable := range os.Environ() {
			name, _, _ := strings.Cut(variable, "=")
			switch name {
			case "IMG", "PUBLISHED", "MAKEFLAGS", "MFLAGS", "MAKELEVEL", "KUBECONFIG": // As in a shell of a user.
			default:
				command.Env = append(command.Env, variable)
			}
		}
		command.Env = append(command.Env, "KUBECONFIG=/nonexistent")
		out, err := command.CombinedOutput()
		if err == nil || !strings.Contains(string(out), "IMG is not set") || !strings.Contains(string(out), "make "+target+" IMG=") {
			t.Errorf("make %s: %v, want a refusal that names IMG and the command to run, got\n%s", target, err, out)
		}
	}
}
