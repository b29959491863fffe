// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"strings"
)

// bundleLabel begins the labels of a bundle's image, which are repeated in its annotations.yaml.
const bundleLabel = "operators.operatorframework.io.bundle."

// labels of the bundle's image, in the order in which they are written.
var labels = [][2]string{
	{bundleLabel + "mediatype.v1", "registry+v1"},
	{bundleLabel + "manifests.v1", "manifests/"},
	{bundleLabel + "metadata.v1", "metadata/"},
	{bundleLabel + "package.v1", packageName},
	{bundleLabel + "channels.v1", channel},
	{bundleLabel + "channel.default.v1", channel},
	{"operators.operatorframework.io.test.mediatype.v1", "scorecard+v1"},
	{"operators.operatorframework.io.test.config.v1", "tests/scorecard/"},
}

// scorecardImage runs the checks of operator-sdk scorecard.
const scorecardImage = "quay.io/operator-framework/scorecard-test:v1.42.2"

// metadata returns what a bundle has beside its manifests, and the Dockerfile of its image.
func metadata() []File {
	var annotations, dockerfile strings.Builder
	annotations.WriteString(header + "annotations:\n")
	dockerfile.WriteString(header + "FROM scratch\n\n")
	for _, label := range labels {
		fmt.Fprintf(&annotations, "  %s: %s\n", label[0], label[1])
		fmt.Fprintf(&dockerfile, "LABEL %s=%s\n", label[0], label[1])
	}
	dockerfile.WriteString("\nCOPY bundle/manifests /manifests/\nCOPY bundle/metadata /metadata/\n" +
		"COPY bundle/tests/scorecard /tests/scorecard/\n")
	return []File{
		{Path: "bundle/metadata/annotations.yaml", Content: []byte(annotations.String())},
		{Path: "bundle/tests/scorecard/config.yaml", Content: []byte(scorecard())},
		{Path: "bundle.Dockerfile", Content: []byte(dockerfile.String())},
	}
}

func scorecard() string {
	var config strings.Builder
	config.WriteString(header + `apiVersion: scorecard.operatorframework.io/v1alpha3
kind: Configuration
metadata:
  name: config
stages:
- parallel: true
  tests:
`)
	for _, test := range []struct{ suite, name string }{
		{"basic", "basic-check-spec"},
		{"olm", "olm-bundle-validation"},
		{"olm", "olm-crds-have-validation"},
		{"olm", "olm-crds-have-resources"},
		{"olm", "olm-spec-descriptors"},
		{"olm", "olm-status-descriptors"},
	} {
		fmt.Fprintf(&config, `  - image: %s
    entrypoint: [scorecard-test, %s]
    labels: {suite: %s, test: %s-test}
`, scorecardImage, test.name, test.suite, test.name)
	}
	return config.String()
}

// catalog returns what community-operators has beside the bundles: a template of a file-based catalog, which `opm` renders with the
// bundles' images, and its configuration.
func catalog(o Options) []File {
	var template strings.Builder
	fmt.Fprintf(&template, `# Written by make bundle. Rendered by: opm alpha render-template basic basic.yaml
schema: olm.template.basic
entries:
- schema: olm.package
  name: %s
  defaultChannel: %s
- schema: olm.channel
  package: %s
  name: %s
  entries:
`, packageName, channel, packageName, channel)
	if o.Replaces != "" {
		fmt.Fprintf(&template, "  - name: %s\n", csvName(o.Replaces))
	}
	fmt.Fprintf(&template, "  - name: %s\n", csvName(o.Version))
	if o.Replaces != "" {
		fmt.Fprintf(&template, "    replaces: %s\n", csvName(o.Replaces))
		fmt.Fprintf(&template, "- schema: olm.bundle\n  image: %s:%s\n", bundleRepository, o.Replaces)
	}
	fmt.Fprintf(&template, "- schema: olm.bundle\n  image: %s\n", o.BundleImage)
	ci := header + `fbc:
  enabled: true
  catalog_mapping:
  - template_name: basic.yaml
    catalog_names: [latest]
    type: olm.template.basic
`
	return []File{
		{Path: "catalog-templates/basic.yaml", Content: []byte(template.String())},
		{Path: "ci.yaml", Content: []byte(ci)},
	}
}
