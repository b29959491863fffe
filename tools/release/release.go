// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"
)

const imageRepository = "ghcr.io/metricspipeline/operator"

// release is what is built of one commit. The same commit, Go version and modules give the same bytes, wherever and whenever that is.
type release struct {
	// Root is the folder of the repository.
	Root string
	// Version is that of the release, with a leading v.
	Version string
	// Platforms of the images, such as linux/amd64, and of the kubectl plugin.
	Platforms, PluginPlatforms []string
	// Out is where progress goes.
	Out io.Writer

	// dist is the folder of the release, and work one that is deleted in the end.
	dist, work string
	// time of the commit: that of every file in an archive.
	time time.Time
	// revision is the commit.
	revision string
	// binaries are the operator's, in the order of Platforms.
	binaries []string
	// image is the operator's, by digest.
	image string
}

// build checks that the tree is fit to be released and writes dist/VERSION.
func build(ctx context.Context, r *release) error {
	if err := r.check(ctx); err != nil {
		return err
	}
	r.dist = filepath.Join(r.Root, "dist", r.Version)
	if err := os.RemoveAll(r.dist); err != nil {
		return err
	}
	if err := os.MkdirAll(r.dist, 0o755); err != nil {
		return err
	}
	var err error
	if r.work, err = os.MkdirTemp("", "release-*"); err != nil {
		return err
	}
	defer os.RemoveAll(r.work)

	for _, step := range []struct {
		what string
		do   func(context.Context) error
	}{
		{"binaries for " + strings.Join(r.Platforms, " and "), r.compile},
		{"operator.oci", r.writeImage},
		{"sbom", r.writeSBOMs},
		{"install.yaml", r.writeInstaller},
		{"chart", r.writeChartArchive},
		{"bundle", r.writeBundle},
		{"kubectl plugin", r.writePlugin},
		{"SHA256SUMS", r.writeChecksums},
	} {
		fmt.Fprintf(r.Out, "release %s: %s\n", r.Version, step.what)
		if err := step.do(ctx); err != nil {
			return fmt.Errorf("%s: %w", step.what, err)
		}
	}
	fmt.Fprintf(r.Out, "dist/%s is complete and nothing is published; RELEASE.md says how. The operator's image is\n%s\n",
		r.Version, r.image)
	return nil
}

// compile builds the operator for each platform by `make manager`, whose flags make it reproducible.
func (r *release) compile(ctx context.Context) error {
	for _, platform := range r.Platforms {
		system, arch, _ := strings.Cut(platform, "/")
		binary := filepath.Join(r.work, "manager_"+system+"_"+arch)
		if err := r.makeTarget(ctx, goFor(platform), "manager", "VERSION="+r.Version, "MANAGER="+binary); err != nil {
			return err
		}
		r.binaries = append(r.binaries, binary)
	}
	return nil
}

// goFor is the environment for Go to build for a platform alone, whatever this machine prefers.
func goFor(platform string) []string {
	system, arch, _ := strings.Cut(platform, "/")
	return []string{
		"GOOS=" + system, "GOARCH=" + arch, "GOAMD64=v1", "GOARM64=v8.0", "CGO_ENABLED=0", "GOFLAGS=-mod=readonly", "GOWORK=off",
	}
}

// writeInstaller has make write install.yaml, with the image by digest.
func (r *release) writeInstaller(ctx context.Context) error {
	if err := r.makeTarget(ctx, nil, "dist/install.yaml", "IMG="+r.image, "INSTALL_FROM="+releaseConfig); err != nil {
		return err
	}
	content, err := os.ReadFile(filepath.Join(r.Root, "dist", "install.yaml"))
	if err != nil {
		return err
	}
	for _, image := range withoutDigest.FindAllStringSubmatch(string(content), -1) {
		fmt.Fprintf(r.Out, "warning: %s has no digest: pin it in config/components/digests before this is published\n", image[1])
	}
	return os.Rename(filepath.Join(r.Root, "dist", "install.yaml"), filepath.Join(r.dist, "install.yaml"))
}

// withoutDigest finds images that are named by a tag, which can come to be another image.
var withoutDigest = regexp.MustCompile(`(?m)^\s+(?:image|value): ([a-z0-9.-]+/[^\s@]+:[^\s@]+)$`)

// writeChecksums lists every file of the release as sha256sum does, for `sha256sum --check`.
func (r *release) writeChecksums(context.Context) error {
	files, err := readFolder(r.dist)
	if err != nil {
		return err
	}
	slices.SortFunc(files, func(a, b file) int { return strings.Compare(a.Name, b.Name) })
	var sums strings.Builder
	for _, file := range files {
		fmt.Fprintf(&sums, "%s  %s\n", digest(file.Content), file.Name)
	}
	return os.WriteFile(filepath.Join(r.dist, "SHA256SUMS"), []byte(sums.String()), 0o644)
}
