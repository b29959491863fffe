// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"archive/tar"
	"crypto/x509"
	"debug/buildinfo"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/validate"
)

var epoch = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

// packed is a release with stand-ins for the operator's binaries.
func packed(t *testing.T) *release {
	t.Helper()
	r := &release{Version: "v1.2.3", Platforms: []string{"linux/amd64", "linux/arm64"}, dist: t.TempDir(), time: epoch, revision: "0123456789"}
	for _, platform := range r.Platforms {
		binary := filepath.Join(t.TempDir(), "manager")
		if err := os.WriteFile(binary, []byte("a program for "+platform), 0o755); err != nil {
			t.Fatal(err)
		}
		r.binaries = append(r.binaries, binary)
	}
	if err := r.writeImage(t.Context()); err != nil {
		t.Fatal(err)
	}
	return r
}

// TestImage packs an image for two platforms: it is a valid layout, whose digest depends on nothing but the binaries and the commit.
func TestImage(t *testing.T) {
	r, again := packed(t), packed(t)
	if r.image != again.image {
		t.Errorf("the same input gives %s and %s", r.image, again.image)
	}
	index, err := layout.ImageIndexFromPath(filepath.Join(r.dist, "operator.oci"))
	if err != nil {
		t.Fatal(err)
	}
	if err := validate.Index(index); err != nil {
		t.Errorf("operator.oci is not valid: %v", err)
	}
	top, err := index.IndexManifest()
	if err != nil {
		t.Fatal(err)
	}
	// One entry, so that tools push it without being told which.
	if len(top.Manifests) != 1 || !strings.HasSuffix(r.image, "@"+top.Manifests[0].Digest.String()) {
		t.Fatalf("operator.oci has %v, want %s alone", top.Manifests, r.image)
	}
	images, err := index.ImageIndex(top.Manifests[0].Digest)
	if err != nil {
		t.Fatal(err)
	}
	manifest, err := images.IndexManifest()
	if err != nil {
		t.Fatal(err)
	}
	for i, platform := range r.Platforms {
		image, err := images.Image(manifest.Manifests[i].Digest)
		if err != nil {
			t.Fatal(err)
		}
		files := contentOf(t, image)
		if manifest.Manifests[i].Platform.String() != platform || files["manager"] != "a program for "+platform {
			t.Errorf("entry %d is for %s and runs %q, want %s", i, manifest.Manifests[i].Platform, files["manager"], platform)
		}
		if pool := x509.NewCertPool(); !pool.AppendCertsFromPEM([]byte(files[authorities])) {
			t.Errorf("/%s has no certificates: a Prometheus behind a public URL could not be asked", authorities)
		}
	}
}

// contentOf are the files of an image.
func contentOf(t *testing.T, image v1.Image) map[string]string {
	t.Helper()
	files := map[string]string{}
	reader := mutate.Extract(image)
	defer reader.Close()
	for archive := tar.NewReader(reader); ; {
		header, err := archive.Next()
		if errors.Is(err, io.EOF) {
			return files
		}
		if err != nil {
			t.Fatal(err)
		}
		content, err := io.ReadAll(archive)
		if err != nil {
			t.Fatal(err)
		}
		if !header.ModTime.Equal(epoch) {
			t.Errorf("%s is of %v, not of the commit, %v", header.Name, header.ModTime, epoch)
		}
		if header.Typeflag == tar.TypeReg {
			files[header.Name] = string(content)
		}
	}
}

// TestDockerfile: who builds the image with docker gets one that is configured alike.
func TestDockerfile(t *testing.T) {
	image, err := operatorImage([]byte("a program"), "linux/amd64", "v1.2.3", epoch)
	if err != nil {
		t.Fatal(err)
	}
	file, err := image.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	content, err := os.ReadFile(filepath.Join(root(t), "Dockerfile"))
	if err != nil {
		t.Fatal(err)
	}
	_, final, _ := strings.Cut(string(content), "\nFROM gcr.io/distroless")
	one := func(instruction string) string {
		_, value, _ := strings.Cut(final, "\n"+instruction+" ")
		value, _, _ = strings.Cut(value, "\n")
		return value
	}
	has := map[string]string{}
	for _, match := range regexp.MustCompile(`(?m)^LABEL (\S+)="(.*)"$`).FindAllStringSubmatch(final, -1) {
		has[match[1]] = strings.ReplaceAll(match[2], "${VERSION}", "v1.2.3")
	}
	if diff := cmp.Diff(file.Config.Labels, has); diff != "" {
		t.Errorf("the labels of the release (-) and of the Dockerfile (+):\n%s", diff)
	}
	for instruction, want := range map[string]string{
		"USER": file.Config.User, "ENTRYPOINT": `["` + file.Config.Entrypoint[0] + `"]`, "WORKDIR": file.Config.WorkingDir,
	} {
		if got := one(instruction); got != want {
			t.Errorf("the Dockerfile has %s %s, the release %s", instruction, got, want)
		}
	}
	makefile, err := os.ReadFile(filepath.Join(root(t), "Makefile"))
	if err != nil {
		t.Fatal(err)
	}
	flags := regexp.MustCompile(`go build (.*-ldflags ".*") -o \S*(?i:manager)`)
	inMake, inDocker := flags.FindSubmatch(makefile), flags.FindSubmatch(content)
	compiler := regexp.MustCompile(`(?m)^COMPILER\s+:= (.*)$`).FindSubmatch(makefile)
	if inMake == nil || inDocker == nil || compiler == nil {
		t.Fatal("there is no `go build ... -ldflags` of the manager in the Makefile or in the Dockerfile, or no COMPILER in the Makefile")
	}
	// Those of COMPILER reach it by the environment.
	plain := strings.NewReplacer("$(VERSION)", "VERSION", "${VERSION}", "VERSION")
	if diff := cmp.Diff(plain.Replace(fmt.Sprintf("%s %s", compiler[1], inMake[1])), plain.Replace(string(inDocker[1]))); diff != "" {
		t.Errorf("the flags of the Makefile (-) and of the Dockerfile (+):\n%s", diff)
	}
}

// TestMaterials lists what this test was linked from.
func TestMaterials(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	info, err := buildinfo.ReadFile(self)
	if err != nil {
		t.Fatal(err)
	}
	bom, err := materials(info, "v1.2.3", inImage(info.Deps))
	if err != nil {
		t.Fatal(err)
	}
	urls := map[string]int{} // Each once: it is a reference too.
	for _, component := range *bom.Components {
		urls[component.PackageURL]++
		if component.Name != "std" && len((*component.Hashes)[0].Value) != 64 {
			t.Errorf("%s has no checksum", component.PackageURL)
		}
	}
	want := map[string]int{"pkg:golang/std@" + strings.TrimPrefix(info.GoVersion, "go"): 1}
	for _, module := range info.Deps {
		want["pkg:golang/"+module.Path+"@"+module.Version]++
	}
	if diff := cmp.Diff(want, urls); diff != "" {
		t.Errorf("linked (-), listed (+):\n%s", diff)
	}
	if bom.SerialNumber != "" || bom.Metadata.Timestamp != "" {
		t.Errorf("serial number %q, time %q: no two builds would be the same", bom.SerialNumber, bom.Metadata.Timestamp)
	}
	if bom.Metadata.Component.Version != "v1.2.3" {
		t.Errorf("the operator has the version %s", bom.Metadata.Component.Version)
	}
}
