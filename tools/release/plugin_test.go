// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"sigs.k8s.io/yaml"
)

// krewPlugin is what Krew reads of a manifest.
type krewPlugin struct {
	APIVersion string `json:"apiVersion"`
	Kind       string `json:"kind"`
	Metadata   struct {
		Name string `json:"name"`
	} `json:"metadata"`
	Spec struct {
		Version          string         `json:"version"`
		Homepage         string         `json:"homepage"`
		ShortDescription string         `json:"shortDescription"`
		Description      string         `json:"description"`
		Caveats          string         `json:"caveats"`
		Platforms        []krewPlatform `json:"platforms"`
	} `json:"spec"`
}

type krewPlatform struct {
	Selector struct {
		MatchLabels map[string]string `json:"matchLabels"`
	} `json:"selector"`
	URI    string `json:"uri"`
	SHA256 string `json:"sha256"`
	Bin    string `json:"bin"`
	Files  []struct {
		From string `json:"from"`
		To   string `json:"to"`
	} `json:"files"`
}

func readKrew(t *testing.T, name string) krewPlugin {
	t.Helper()
	content, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	var manifest krewPlugin
	if err := yaml.UnmarshalStrict(content, &manifest); err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return manifest
}

// TestKrewTemplate: the manifest has the archive of each platform, by the name that a release gives it, and what is in that.
func TestKrewTemplate(t *testing.T) {
	manifest := readKrew(t, filepath.Join(root(t), krewTemplate))
	if manifest.Kind != "Plugin" || manifest.Metadata.Name != strings.TrimPrefix(plugin, "kubectl-") || manifest.Spec.Version != versionOfPlugin {
		t.Errorf("the manifest is a %s %s %s", manifest.Kind, manifest.Metadata.Name, manifest.Spec.Version)
	}
	if short := manifest.Spec.ShortDescription; len(short) > 50 || strings.HasSuffix(short, ".") {
		t.Errorf("shortDescription is %q; Krew takes 50 characters without a period", short)
	}
	r := &release{Version: versionOfPlugin}
	var got []string
	for _, platform := range manifest.Spec.Platforms {
		name := platform.Selector.MatchLabels["os"] + "/" + platform.Selector.MatchLabels["arch"]
		got = append(got, name)
		if want := downloads + versionOfPlugin + "/" + r.pluginArchive(name); platform.URI != want {
			t.Errorf("%s: uri is %s, want %s", name, platform.URI, want)
		}
		if platform.SHA256 != checksumOf(name) {
			t.Errorf("%s: sha256 is %s, want %s", name, platform.SHA256, checksumOf(name))
		}
		bin := plugin
		if strings.HasPrefix(name, "windows/") {
			bin += ".exe"
		}
		if platform.Bin != bin || len(platform.Files) != 2 || platform.Files[0].From != bin || platform.Files[1].From != "LICENSE" {
			t.Errorf("%s: bin is %s and files are %v, want %s and LICENSE", name, platform.Bin, platform.Files, bin)
		}
	}
	slices.Sort(got)
	if diff := cmp.Diff(slices.Sorted(slices.Values(pluginPlatforms)), got); diff != "" {
		t.Errorf("the platforms of the release and of the manifest:\n%s", diff)
	}
}

// testPlugin runs the plugin out of its archive, and looks its checksum up in the manifest for Krew.
func testPlugin(t *testing.T, r *release) {
	t.Helper()
	folder := t.TempDir()
	archive := filepath.Join(r.dist, r.pluginArchive(r.PluginPlatforms[0]))
	if out, err := exec.CommandContext(t.Context(), "tar", "--extract", "--gzip", "--file="+archive, "--directory="+folder).CombinedOutput(); err != nil {
		t.Fatalf("tar: %v\n%s", err, out)
	}
	out, err := exec.CommandContext(t.Context(), filepath.Join(folder, plugin), "version", "--client").CombinedOutput()
	if err != nil || !strings.Contains(string(out), r.Version) {
		t.Errorf("version --client: %v\n%s", err, out)
	}
	bom, err := os.ReadFile(strings.TrimSuffix(archive, ".tar.gz") + sbomSuffix)
	if err != nil || !strings.Contains(string(bom), "pkg:golang/github.com/spf13/cobra@") || strings.Contains(string(bom), authoritiesModule) {
		t.Errorf("what the plugin consists of: %v\n%s", err, bom)
	}
	content, err := os.ReadFile(archive)
	if err != nil {
		t.Fatal(err)
	}
	manifest := readKrew(t, filepath.Join(r.dist, "metricspipeline.krew.yaml"))
	if manifest.Spec.Version != r.Version {
		t.Errorf("the manifest is of version %s, want %s", manifest.Spec.Version, r.Version)
	}
	if !slices.ContainsFunc(manifest.Spec.Platforms, func(p krewPlatform) bool { return p.SHA256 == digest(content) }) {
		t.Errorf("the manifest has no platform with the checksum of %s", archive)
	}
}
