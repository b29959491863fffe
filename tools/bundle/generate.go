// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"cmp"
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/blang/semver/v4"
	"sigs.k8s.io/yaml"
)

// Names of what is published. An OLM package, its channel and its images are what users write into a Subscription.
const (
	packageName      = "metricspipeline-operator"
	imageRepository  = "ghcr.io/metricspipeline/operator"
	bundleRepository = "ghcr.io/metricspipeline/operator-bundle"
	// channel follows OLM's convention (candidate, fast, stable). The API is v1alpha1.
	channel = "candidate"
	// minKubeVersion is the oldest Kubernetes that the default metrics-server supports.
	minKubeVersion = "1.34.0"
)

// Generated are the files of a bundle, and those that a catalog has beside it.
type Generated struct{ Bundle, Catalog []File }

// Generate returns the files for the options.
func Generate(o Options) (Generated, error) {
	version, err := semver.ParseTolerant(o.Version)
	if err != nil {
		return Generated{}, fmt.Errorf("-version %q: %w", o.Version, err)
	}
	o.Version = "v" + version.String()
	if o.Replaces != "" {
		replaced, err := semver.ParseTolerant(o.Replaces)
		if err != nil {
			return Generated{}, fmt.Errorf("-replaces %q: %w", o.Replaces, err)
		}
		if replaced.GTE(version) {
			return Generated{}, fmt.Errorf("-replaces %s is not older than -version %s", replaced, version)
		}
		o.Replaces = "v" + replaced.String()
	}
	o.Image = cmp.Or(o.Image, imageRepository+":"+o.Version)
	o.BundleImage = cmp.Or(o.BundleImage, bundleRepository+":"+o.Version)

	tree, err := readTree(o.Root)
	if err != nil {
		return Generated{}, err
	}
	if err := tree.setImages(o); err != nil {
		return Generated{}, err
	}
	csv, err := clusterServiceVersion(tree, o)
	if err != nil {
		return Generated{}, err
	}
	manifests, err := tree.manifests()
	if err != nil {
		return Generated{}, err
	}
	bundle := append([]File{{Path: packageName + ".clusterserviceversion.yaml", Content: csv}}, manifests...)
	for i := range bundle {
		bundle[i].Path = path.Join("bundle/manifests", bundle[i].Path)
	}
	bundle = append(bundle, metadata()...)
	return Generated{Bundle: bundle, Catalog: catalog(o)}, nil
}

// csvName of a version, by OLM's convention.
func csvName(version string) string { return packageName + "." + version }

// toYAML returns an object as YAML without what the types make of empty values, such as a null for the creation time.
func toYAML(object any) ([]byte, error) {
	content, err := yaml.Marshal(object)
	if err != nil {
		return nil, err
	}
	plain := map[string]any{}
	if err := yaml.Unmarshal(content, &plain); err != nil {
		return nil, err
	}
	delete(plain, "status")
	if spec, ok := plain["spec"].(map[string]any); ok {
		delete(spec, "cleanup") // Of a ClusterServiceVersion: deleting it deletes no pipeline, which is the default.
	}
	return yaml.Marshal(withoutNull(plain))
}

func withoutNull(value any) any {
	switch value := value.(type) {
	case map[string]any:
		for key, field := range value {
			if field == nil {
				delete(value, key)
			} else {
				value[key] = withoutNull(field)
			}
		}
	case []any:
		for i := range value {
			value[i] = withoutNull(value[i])
		}
	}
	return value
}

// header of generated files, with the form of comment that YAML and Dockerfiles have.
const header = "# Written by `make bundle`. Do not edit it.\n"

func sorted(files []File) []File {
	slices.SortFunc(files, func(a, b File) int { return strings.Compare(a.Path, b.Path) })
	return files
}
