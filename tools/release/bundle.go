// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/layout"
)

// writeBundle has make write OLM's bundle with the operator's image by digest, and packs it as its Dockerfile says.
func (r *release) writeBundle(ctx context.Context) error {
	flags := "-out=" + r.dist + " -image=" + r.image + " -catalog="
	if err := r.makeTarget(ctx, nil, "bundle", "VERSION="+r.Version, "BUNDLE_FLAGS="+flags); err != nil {
		return err
	}
	dockerfile, err := os.ReadFile(filepath.Join(r.dist, "bundle.Dockerfile"))
	if err != nil {
		return err
	}
	image, err := r.fromScratch(string(dockerfile))
	if err != nil {
		return fmt.Errorf("bundle.Dockerfile: %w", err)
	}
	return writeLayout(filepath.Join(r.dist, "bundle.oci"), r.Version, func(path layout.Path, options ...layout.Option) error {
		return path.AppendImage(image, options...)
	})
}

// fromScratch builds a Dockerfile that adds files and labels to nothing, which is all that a bundle is.
func (r *release) fromScratch(dockerfile string) (v1.Image, error) {
	labels := map[string]string{}
	var files []file
	for line := range strings.Lines(dockerfile) {
		words := strings.Fields(line)
		switch {
		case len(words) == 0, strings.HasPrefix(words[0], "#"), strings.TrimSpace(line) == "FROM scratch":
		case words[0] == "LABEL" && len(words) == 2 && strings.Contains(words[1], "="):
			name, value, _ := strings.Cut(words[1], "=")
			labels[name] = strings.Trim(value, `"`)
		case words[0] == "COPY" && len(words) == 3:
			copied, err := readFolder(filepath.Join(r.dist, words[1]))
			if err != nil {
				return nil, err
			}
			for _, file := range copied {
				file.Name = strings.TrimPrefix(path.Join(words[2], file.Name), "/")
				files = append(files, file)
			}
		default:
			return nil, fmt.Errorf("%q is not FROM scratch, a LABEL or a COPY of a folder", strings.TrimSpace(line))
		}
	}
	image, err := newImage([][]file{files}, r.time)
	if err != nil {
		return nil, err
	}
	// A bundle has no program, so any platform will do; tools expect one.
	return configure(image, func(config *v1.ConfigFile) {
		config.OS, config.Architecture, config.Config.Labels = "linux", "amd64", labels
	})
}
