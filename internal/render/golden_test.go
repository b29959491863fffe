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
	"strings"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"

	"github.com/metricspipeline/operator/api/v1alpha1"
	"github.com/metricspipeline/operator/internal/cluster"
	"github.com/metricspipeline/operator/internal/kinds"
	"github.com/metricspipeline/operator/internal/operand"
	"github.com/metricspipeline/operator/internal/operand/operandtest"
	"github.com/metricspipeline/operator/internal/operand/registry"
	"github.com/metricspipeline/operator/internal/probe"
	"github.com/metricspipeline/operator/internal/prometheus"
)

// update writes the golden files: go test ./internal/render -update. Read the difference before you commit it.
var update = flag.Bool("update", false, "write testdata/*/out.yaml")

// input is testdata/<case>/in.yaml.
type input struct {
	// Spec as the schema would admit it, without its defaults.
	Spec v1alpha1.MetricsPipelineSpec `json:"spec"`
	// Facts about the cluster; the namespace has a default.
	Facts facts `json:"facts"`
}

// facts are those about a cluster that reach the objects.
type facts struct {
	Namespace      string  `json:"namespace"`
	APIServerPorts []int32 `json:"apiServerPorts"`
	// ServiceMonitors and PrometheusRules are true where their CRD is served, and MonitorLabels are what the Prometheus selects them by.
	ServiceMonitors bool                  `json:"serviceMonitors"`
	PrometheusRules bool                  `json:"prometheusRules"`
	MonitorLabels   map[string]string     `json:"monitorLabels"`
	MonitorSelector *metav1.LabelSelector `json:"-"`
	Prometheus      struct {
		URL               string `json:"url"`
		CredentialsDigest string `json:"credentialsDigest"`
		// Access is what was read of what the spec names.
		Access prometheus.Access `json:"access"`
	} `json:"prometheus"`
	// Managed is the form of the Prometheus that the operator runs: Deployment, or Prometheus.
	Managed string `json:"managed"`
	// Config and CredentialsDigest stand for what is made of the rules and of the Secrets: golden files show where these go, and
	// do not change with the way in which rules are written or digests computed.
	Config string `json:"config"`
}

// cluster returns the facts as they are read from a cluster.
func (f facts) cluster() cluster.Facts {
	read := operandtest.Facts()
	read.Namespace, read.APIServerPorts = f.Namespace, f.APIServerPorts
	read.Prometheus.Target.URL, read.Prometheus.Access = f.Prometheus.URL, f.Prometheus.Access
	read.Prometheus.Demands = map[string]probe.Answer{"prometheus-adapter": {Known: true}}
	if f.Managed != "" {
		read.Prometheus.Managed = prometheus.Managed{Namespace: f.Namespace, Plain: f.Managed == "Deployment"}
		read.Prometheus.Token = cluster.Token{Value: "token", Hash: "hash"}
		read.Prometheus.Target.Managed = true
	}
	if f.ServiceMonitors {
		read.Served = cluster.Serving(kinds.ServiceMonitorCRD)
		read.Prometheus.Target.ServiceMonitors = &prometheus.Selection{Field: "serviceMonitorSelector", Selector: f.MonitorSelector}
		if f.MonitorSelector == nil {
			read.Prometheus.Target.ServiceMonitors.Selector = &metav1.LabelSelector{MatchLabels: f.MonitorLabels}
		}
	}
	if f.PrometheusRules {
		read.Served = cluster.Serving(kinds.ServiceMonitorCRD, kinds.PrometheusRuleCRD)
		read.Prometheus.Target.Rules = &prometheus.Selection{Objects: "rules", Field: "ruleSelector", Namespaces: &metav1.LabelSelector{},
			Selector: &metav1.LabelSelector{MatchLabels: f.MonitorLabels}}
	}
	return read
}

// components are those of the plan.
func (in input) components() []operand.Component {
	images := map[string]string{}
	for _, c := range operand.Catalog(registry.Operands()) {
		// Not the default images, so that a new release of one changes no golden file.
		images[c.Name] = "registry.k8s.io/" + c.Name + "/" + c.Name + ":v0.0.0"
	}
	read := in.Facts.cluster()
	plan := operand.For(operand.Request{Spec: in.Spec, Facts: read, Operands: registry.Operands(), Images: images})
	var all []operand.Component
	for _, c := range plan.Components {
		var pinned []string
		for name, content := range c.Files {
			if in.Facts.Config != "" {
				pinned = append(pinned, operand.Digest(content), operand.Digest(in.Facts.Config))
				c.Files[name] = in.Facts.Config
			}
		}
		if digest := in.Facts.Prometheus.CredentialsDigest; digest != "" {
			pinned = append(pinned, read.Prometheus.Access.Digest(), digest)
		}
		for i := range c.Patches {
			c.Patches[i].Content = strings.NewReplacer(pinned...).Replace(c.Patches[i].Content)
		}
		all = append(all, c.Component)
	}
	return all
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
	in := input{Facts: facts{Namespace: "metricspipeline-system"}}
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
	var objects []*unstructured.Unstructured
	for _, c := range in.components() {
		of, err := renderer.Build(c)
		if err != nil {
			t.Fatal(err)
		}
		objects = append(objects, of...)
	}
	slices.SortFunc(objects, func(a, b *unstructured.Unstructured) int {
		return cmp.Or(cmp.Compare(a.GetKind(), b.GetKind()), cmp.Compare(a.GetNamespace(), b.GetNamespace()),
			cmp.Compare(a.GetName(), b.GetName()))
	})
	built[name] = objects
	return objects
}

// withoutDashboard leaves out the JSON of a dashboard, which is generated.
func withoutDashboard(object *unstructured.Unstructured) *unstructured.Unstructured {
	data, found, err := unstructured.NestedStringMap(object.Object, "data")
	if err != nil || !found || object.GetKind() != "ConfigMap" {
		return object
	}
	shown := object.DeepCopy()
	for file := range data {
		if strings.HasSuffix(file, ".json") {
			_ = unstructured.SetNestedField(shown.Object, "generated", "data", file)
		}
	}
	return shown
}

// TestGolden shows in out.yaml everything that the operator would apply for a spec, as a person would read it.
func TestGolden(t *testing.T) {
	for _, name := range cases(t) {
		t.Run(name, func(t *testing.T) {
			var got bytes.Buffer
			for _, object := range objectsOf(t, name) {
				content, err := yaml.Marshal(withoutDashboard(object).Object)
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
