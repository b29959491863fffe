// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

// Package chart tests the Helm chart with Helm's own library: what it renders, and what it does to a real API server. It is a module
// of its own, so that Helm is no dependency of the operator. The binaries of the control plane are in KUBEBUILDER_ASSETS.
package chart

import (
	"io"
	"log/slog"
	"testing"

	"helm.sh/helm/v4/pkg/action"
	"helm.sh/helm/v4/pkg/chart/common"
	chartv2 "helm.sh/helm/v4/pkg/chart/v2"
	"helm.sh/helm/v4/pkg/chart/v2/loader"
	release "helm.sh/helm/v4/pkg/release/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/kyaml/filesys"
	"sigs.k8s.io/yaml"
)

const (
	chartFolder = "../../charts/metricspipeline-operator"
	// namespace is that of config/, so that what is rendered can be compared.
	namespace = "metricspipeline-system"
	crdName   = "metricspipelines.metricspipeline.io"
	// schemaDigest is the annotation by which an upgrade finds the CRD of another release.
	schemaDigest = "metricspipeline.io/schema-digest"
)

func load(t *testing.T) *chartv2.Chart {
	t.Helper()
	loaded, err := loader.Load(chartFolder)
	if err != nil {
		t.Fatal(err)
	}
	return loaded
}

// values parses what a user would have in a file.
func values(t *testing.T, content string) map[string]any {
	t.Helper()
	parsed := map[string]any{}
	if err := yaml.Unmarshal([]byte(content), &parsed); err != nil {
		t.Fatal(err)
	}
	return parsed
}

// render is `helm template`.
func render(t *testing.T, chart *chartv2.Chart, user string) (map[string]*unstructured.Unstructured, error) {
	t.Helper()
	config := action.NewConfiguration()
	config.SetLogger(slog.NewTextHandler(io.Discard, nil))
	install := action.NewInstall(config)
	install.DryRunStrategy = action.DryRunClient
	install.ReleaseName, install.Namespace = "metrics", namespace
	// The library would say v1.20 for a test: it takes its own dependency's from the binary.
	install.KubeVersion = &common.KubeVersion{Version: "v1.36.0", Major: "1", Minor: "36"}
	rendered, err := install.Run(chart, values(t, user))
	if err != nil {
		return nil, err
	}
	made, ok := rendered.(*release.Release)
	if !ok {
		t.Fatalf("Helm made a %T", rendered)
	}
	if len(made.Hooks) > 0 {
		t.Errorf("the chart has hooks, which an uninstall leaves behind: %v", made.Hooks[0].Path)
	}
	return parse(t, made.Manifest), nil
}

// built are the objects of config/default, by kind and name.
func built(t *testing.T) map[string]*unstructured.Unstructured {
	t.Helper()
	options := krusty.MakeDefaultOptions()
	options.Reorder = krusty.ReorderOptionUnspecified
	resources, err := krusty.MakeKustomizer(options).Run(filesys.MakeFsOnDisk(), "../../config/default")
	if err != nil {
		t.Fatal(err)
	}
	content, err := resources.AsYaml()
	if err != nil {
		t.Fatal(err)
	}
	return parse(t, string(content))
}
