// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/pem"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"golang.org/x/crypto/x509roots/fallback/bundle"
)

// authorities is where Go looks for the public certificate authorities first. A Prometheus behind a public URL needs them.
const authorities = "etc/ssl/certs/ca-certificates.crt"

// labels of the operator's image; the Dockerfile has the same.
func labels(version string) map[string]string {
	return map[string]string{
		"org.opencontainers.image.title":       "MetricsPipeline operator",
		"org.opencontainers.image.description": "One custom resource gives a Kubernetes cluster its whole metrics stack.",
		"org.opencontainers.image.source":      "https://github.com/metricspipeline/operator",
		"org.opencontainers.image.licenses":    "Apache-2.0",
		"org.opencontainers.image.version":     version,
	}
}

// writeImage packs the binaries as one image for all platforms, and finds out its digest.
func (r *release) writeImage(context.Context) error {
	index := mutate.IndexMediaType(empty.Index, types.OCIImageIndex)
	for i, platform := range r.Platforms {
		binary, err := os.ReadFile(r.binaries[i])
		if err != nil {
			return err
		}
		image, err := operatorImage(binary, platform, r.Version, r.time)
		if err != nil {
			return fmt.Errorf("pack the image for %s: %w", platform, err)
		}
		parsed, err := v1.ParsePlatform(platform)
		if err != nil {
			return err
		}
		index = mutate.AppendManifests(index, mutate.IndexAddendum{Add: image, Descriptor: v1.Descriptor{Platform: parsed}})
	}
	index, _ = mutate.Annotations(index, map[string]string{"org.opencontainers.image.revision": r.revision}).(v1.ImageIndex)
	digest, err := index.Digest()
	if err != nil {
		return err
	}
	r.image = imageRepository + "@" + digest.String()
	return writeLayout(filepath.Join(r.dist, "operator.oci"), r.Version, func(path layout.Path, options ...layout.Option) error {
		return path.AppendIndex(index, options...)
	})
}

// writeLayout makes an OCI layout of one image or index under a tag.
func writeLayout(dir, tag string, add func(layout.Path, ...layout.Option) error) error {
	path, err := layout.Write(dir, empty.Index)
	if err != nil {
		return err
	}
	return add(path, layout.WithAnnotations(map[string]string{"org.opencontainers.image.ref.name": tag}))
}

// operatorImage is the operator's image for one platform: the binary and the public certificate authorities.
func operatorImage(binary []byte, platform, version string, created time.Time) (v1.Image, error) {
	image, err := newImage([][]file{
		{{Name: authorities, Mode: 0o644, Content: publicAuthorities()}},
		{{Name: "manager", Mode: 0o755, Content: binary}},
	}, created)
	if err != nil {
		return nil, err
	}
	system, arch, _ := strings.Cut(platform, "/")
	return configure(image, func(config *v1.ConfigFile) {
		config.OS, config.Architecture = system, arch
		config.Config = v1.Config{User: "65532:65532", Entrypoint: []string{"/manager"}, WorkingDir: "/", Labels: labels(version)}
	})
}

// newImage is an OCI image of these layers, without a configuration.
func newImage(layers [][]file, created time.Time) (v1.Image, error) {
	image := mutate.ConfigMediaType(mutate.MediaType(empty.Image, types.OCIManifestSchema1), types.OCIConfigJSON)
	for _, files := range layers {
		content, err := pack(files, created)
		if err != nil {
			return nil, err
		}
		layer, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(content)), nil },
			tarball.WithMediaType(types.OCILayer), tarball.WithCompressionLevel(gzip.BestCompression))
		if err != nil {
			return nil, err
		}
		addendum := mutate.Addendum{Layer: layer, History: v1.History{Created: v1.Time{Time: created}, CreatedBy: "make release"}}
		if image, err = mutate.Append(image, addendum); err != nil {
			return nil, err
		}
	}
	return configure(image, func(config *v1.ConfigFile) { config.Created = v1.Time{Time: created} })
}

func configure(image v1.Image, change func(*v1.ConfigFile)) (v1.Image, error) {
	config, err := image.ConfigFile()
	if err != nil {
		return nil, err
	}
	config = config.DeepCopy()
	change(config)
	return mutate.ConfigFile(image, config)
}

// publicAuthorities are Mozilla's roots, as Go ships them for programs. Roots that are trusted within limits only are left out: a file
// cannot say the limits.
func publicAuthorities() []byte {
	var out bytes.Buffer
	for root := range bundle.Roots() {
		if root.Constraint == nil {
			// Writing to a buffer does not fail.
			_ = pem.Encode(&out, &pem.Block{Type: "CERTIFICATE", Bytes: root.Certificate})
		}
	}
	return out.Bytes()
}
