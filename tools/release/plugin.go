// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

const (
	plugin = "kubectl-metricspipeline"
	// krewTemplate is the plugin's manifest for Krew, where its version and the checksums of its archives are written as below.
	krewTemplate    = "config/krew/metricspipeline.yaml"
	versionOfPlugin = "VERSION"
	// downloads is where the archives of a version are published.
	downloads = "https://github.com/metricspipeline/operator/releases/download/"
)

// checksumOf stands for the checksum of the archive for a platform.
func checksumOf(platform string) string { return "SHA256_" + strings.ReplaceAll(platform, "/", "_") }

// pluginArchive is the name of the archive for a platform.
func (r *release) pluginArchive(platform string) string {
	return fmt.Sprintf("%s_%s_%s.tar.gz", plugin, r.Version, strings.ReplaceAll(platform, "/", "_"))
}

// writePlugin packs the kubectl plugin for the machines of its users, says what each consists of, and writes the manifest by which Krew
// installs it.
func (r *release) writePlugin(ctx context.Context) error {
	license, err := os.ReadFile(filepath.Join(r.Root, "LICENSE"))
	if err != nil {
		return err
	}
	manifest, err := os.ReadFile(filepath.Join(r.Root, krewTemplate))
	if err != nil {
		return err
	}
	manifest = bytes.ReplaceAll(manifest, []byte(versionOfPlugin), []byte(r.Version))
	for _, platform := range r.PluginPlatforms {
		name := plugin
		if strings.HasPrefix(platform, "windows/") {
			name += ".exe"
		}
		out := filepath.Join(r.work, "plugin")
		if err := r.makeTarget(ctx, goFor(platform), "plugin", "VERSION="+r.Version, "PLUGIN="+out); err != nil {
			return err
		}
		if err := r.writeSBOM(out, strings.TrimSuffix(r.pluginArchive(platform), ".tar.gz")+sbomSuffix, alone); err != nil {
			return err
		}
		binary, err := os.ReadFile(out)
		if err != nil {
			return err
		}
		archive := filepath.Join(r.dist, r.pluginArchive(platform))
		if err := writeArchive(archive, []file{{Name: name, Mode: 0o755, Content: binary},
			{Name: "LICENSE", Mode: 0o644, Content: license}}, r.time); err != nil {
			return err
		}
		packed, err := os.ReadFile(archive)
		if err != nil {
			return err
		}
		manifest = bytes.ReplaceAll(manifest, []byte(checksumOf(platform)), []byte(digest(packed)))
	}
	return os.WriteFile(filepath.Join(r.dist, "metricspipeline.krew.yaml"), manifest, 0o644)
}
