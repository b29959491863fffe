// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package render

import (
	"bytes"
	"cmp"
	"flag"
	"os"
	"path/filepath"
	"slices"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"

	"github.com/metricspipeline/operator/api/v1alpha1"
	"github.com/metricspipeline/operator/internal/component"
)

// update writes the golden files: go test ./internal/render -update. Read the difference before you commit it.
var update = flag.Bool("update", false, "write testdata/*/out.yaml")

// input is testdata/<case>/in.yaml.
type input struct {
	// Spec as the schema would admit it, without its defaults.
	Spec v1alpha1.MetricsPipelineSpec `json:"spec"`
	// Capabilities of the cluster; namespace and images have defaults.
	Capabilities component.Capabilities `json:"capabilities"`
}

// cases returns the names of the folders in testdata.
func cases(t *testing.T) []string {
	t.Helper()
	folders, err := filepath.Glob("testdata/*/in.yaml")
	if err != nil || len(folders) == 0 {
		t.Fatal("no cases in testdata", err)
	}
	for i := range folders {
		folders[i] = filepath.Base(filepath.Dir(folders[i]))
	}
	return folders
}

// read returns the input of a case.
func read(t *testing.T, name string) input {
	t.Helper()
	content, err := os.ReadFile(filepath.Join("testdata", name, "in.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	in := input{Capabilities: component.Capabilities{
		Namespace: "metricspipeline-system",
		Images: map[string]string{
			// Not the default images, so that a new release of one changes no golden file.
			component.MetricsServer:     "registry.k8s.io/metrics-server/metrics-server:v0.0.0",
			component.PrometheusAdapter: "registry.k8s.io/prometheus-adapter/prometheus-adapter:v0.0.0",
		},
	}}
	if err := yaml.UnmarshalStrict(content, &in); err != nil {
		t.Fatal(err)
	}
	return in
}

// built remembers the objects of each case: many tests look at them, and none changes them.
var built = map[string][]*unstructured.Unstructured{}

// objectsOf returns every rendered object of a case, in the order of the golden file.
func objectsOf(t *testing.T, name string) []*unstructured.Unstructured {
	t.Helper()
	if objects, known := built[name]; known {
		return objects
	}
	in := read(t, name)
	var renderer Renderer
	rendered, err := renderer.Build(component.For(in.Spec, in.Capabilities).Components)
	if err != nil {
		t.Fatal(err)
	}
	var objects []*unstructured.Unstructured
	for _, r := range rendered {
		objects = append(objects, r.Objects...)
	}
	slices.SortFunc(objects, func(a, b *unstructured.Unstructured) int {
		return cmp.Or(cmp.Compare(a.GetKind(), b.GetKind()), cmp.Compare(a.GetNamespace(), b.GetNamespace()),
			cmp.Compare(a.GetName(), b.GetName()))
	})
	built[name] = objects
	return objects
}

// TestGolden shows in out.yaml everything that the operator would apply for a spec, as a person would read it.
func TestGolden(t *testing.T) {
	for _, name := range cases(t) {
		t.Run(name, func(t *testing.T) {
			var got bytes.Buffer
			for _, object := range objectsOf(t, name) {
				content, err := yaml.Marshal(object.Object)
				if err != nil {
					t.Fatal(err)
				}
				got.WriteString("---\n")
				got.Write(content)
			}
			golden := filepath.Join("testdata", name, "out.yaml")
			if *update {
				if err := os.WriteFile(golden, got.Bytes(), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if diff := gocmp.Diff(string(want), got.String()); diff != "" {
				t.Errorf("%s differs; if that is meant, run go test ./internal/render -update (-want +got):\n%s", golden, diff)
			}
		})
	}
}
