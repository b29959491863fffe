// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	kyaml "sigs.k8s.io/kustomize/kyaml/yaml"
)

// TestTemplates: what the chart could not carry over is an error, and never lost. That it carries over the rest is shown by Helm, in
// test/chart.
func TestTemplates(t *testing.T) {
	const deployment = `apiVersion: apps/v1
kind: Deployment
metadata: {name: metricspipeline-operator, namespace: metricspipeline-system}
spec:
  replicas: 2
  template:
    spec:
      nodeSelector: {kubernetes.io/os: linux}
      containers:
      - name: manager
        image: ghcr.io/metricspipeline/operator:v1
        imagePullPolicy: IfNotPresent
        env: [{name: RELATED_IMAGE_METRICS_SERVER, value: metrics-server}]
        resources: {limits: {memory: 256Mi}}
`
	for name, test := range map[string]struct{ from, to, want string }{
		"as it is":                      {},
		"an image that is new":          {"RELATED_IMAGE_METRICS_SERVER", "RELATED_IMAGE_KEDA", "RELATED_IMAGE_KEDA is new"},
		"a field that went":             {"  replicas: 2\n", "", "config/ does not set spec.replicas any more"},
		"an action of something else":   {"metrics-server}", `"{{ .Values.x }}"}`, `it has "{{"`},
		"the namespace within a string": {"metrics-server}", "metrics.metricspipeline-system.svc}", "has the namespace metricspipeline-system in it"},
	} {
		t.Run(name, func(t *testing.T) {
			object, err := kyaml.Parse(strings.Replace(deployment, test.from, test.to, 1))
			if err != nil {
				t.Fatal(err)
			}
			_, templates, err := renderChart([]*kyaml.RNode{object})
			if test.want == "" {
				if err != nil || strings.Contains(templates["deployment.yaml"], "HELM-ACTION") {
					t.Errorf("got %v and\n%s", err, templates["deployment.yaml"])
				}
				return
			}
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %v, want an error with %q", err, test.want)
			}
		})
	}
}

// TestFromScratch builds a bundle's image as its Dockerfile says, and refuses a Dockerfile that says more.
func TestFromScratch(t *testing.T) {
	r := &release{dist: t.TempDir(), time: epoch}
	if err := os.MkdirAll(filepath.Join(r.dist, "bundle", "manifests"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(r.dist, "bundle", "manifests", "crd.yaml"), []byte("kind: X\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	image, err := r.fromScratch("# Generated.\nFROM scratch\n\nLABEL a.b=registry+v1\nCOPY bundle/manifests /manifests/\n")
	if err != nil {
		t.Fatal(err)
	}
	config, err := image.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(map[string]string{"a.b": "registry+v1"}, config.Config.Labels); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(map[string]string{"manifests/crd.yaml": "kind: X\n"}, contentOf(t, image)); diff != "" {
		t.Error(diff)
	}
	for _, line := range []string{"FROM alpine", "RUN true", "COPY --chown=1 a b"} {
		if _, err := r.fromScratch(line); err == nil || !strings.Contains(err.Error(), line) {
			t.Errorf("%s: got %v, want an error that names the line", line, err)
		}
	}
}
