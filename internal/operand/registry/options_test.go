// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package registry

import (
	"os"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/kustomize/api/pkg/util"
	"sigs.k8s.io/yaml"

	"github.com/metricspipeline/operator/api/v1alpha1"
	"github.com/metricspipeline/operator/internal/cluster"
	"github.com/metricspipeline/operator/internal/kinds"
	"github.com/metricspipeline/operator/internal/operand"
	"github.com/metricspipeline/operator/internal/operand/metricsserver"
	"github.com/metricspipeline/operator/internal/operand/operandtest"
	"github.com/metricspipeline/operator/internal/operand/prometheusadapter"
	"github.com/metricspipeline/operator/internal/prometheus"
)

// TestOptions: every knob that all operands share sets its place in the Deployment, and no other.
func TestOptions(t *testing.T) {
	resources := &corev1.ResourceRequirements{Limits: corev1.ResourceList{corev1.ResourceMemory: resource.MustParse("1Gi")}}
	tolerations := []corev1.Toleration{{Key: "dedicated", Operator: corev1.TolerationOpExists}}
	affinity := &corev1.Affinity{PodAntiAffinity: &corev1.PodAntiAffinity{}}

	const pod, container = "/spec/template/spec", "/spec/template/spec/containers/0"
	type options = v1alpha1.ComponentOptions
	type pods = v1alpha1.PodOptions
	for name, tc := range map[string]struct {
		options options
		path    string
		want    any
	}{
		"replicas":                               {options{Replicas: ptr.To[int32](3)}, "/spec/replicas", 3},
		"replicas where the schema was bypassed": {options{}, "/spec/replicas", 2},
		"resources":                              {options{PodOptions: pods{Resources: resources}}, container + "/resources", resources},
		"no resources keep the asset's":          {options{}, container + "/resources", nil},
		"tolerations":                            {options{PodOptions: pods{Tolerations: tolerations}}, pod + "/tolerations", tolerations},
		"no tolerations":                         {options{}, pod + "/tolerations", nil},
		"affinity":                               {options{PodOptions: pods{Affinity: affinity}}, pod + "/affinity", affinity},
		"no affinity":                            {options{}, pod + "/affinity", nil},
		"priority class":                         {options{PodOptions: pods{PriorityClassName: ptr.To("batch")}}, pod + "/priorityClassName", "batch"},
		"no priority class keeps the asset's":    {options{}, pod + "/priorityClassName", nil},
		"node selector gains the operating system": {options{PodOptions: pods{NodeSelector: map[string]string{"pool": "infra"}}},
			pod + "/nodeSelector", map[string]string{"pool": "infra", "kubernetes.io/os": "linux"}},
		"node selector cannot choose another operating system": {options{PodOptions: pods{NodeSelector: map[string]string{"kubernetes.io/os": "windows"}}},
			pod + "/nodeSelector", map[string]string{"kubernetes.io/os": "linux"}},
		"no node selector keeps the asset's": {options{}, pod + "/nodeSelector", nil},
	} {
		t.Run(name, func(t *testing.T) {
			p := plan(optionsOf(tc.options), operandtest.Facts())
			for _, component := range both {
				if diff := cmp.Diff(asJSON(t, tc.want), operandtest.ValueAt(t, operandtest.Find(t, p, component), tc.path)); diff != "" {
					t.Errorf("%s, %s (-want +got):\n%s", component, tc.path, diff)
				}
			}
		})
	}
}

// TestNoPriorityClass: an empty name is a value, and removes the asset's. So does a cluster that may not admit that, where the user
// names none.
func TestNoPriorityClass(t *testing.T) {
	remove := operand.Operation{Op: "remove", Path: "/spec/template/spec/priorityClassName"}
	for name, tc := range map[string]struct {
		class    *string
		admitted bool
		removed  bool
	}{
		"the asset's":               {nil, true, false},
		"not admitted":              {nil, false, true},
		"none":                      {ptr.To(""), true, true},
		"none, not admitted":        {ptr.To(""), false, true},
		"the user's choice":         {ptr.To(cluster.SystemPriorityClass), false, false},
		"another choice of theirs":  {ptr.To("batch"), false, false},
		"a choice that is admitted": {ptr.To("batch"), true, false},
	} {
		facts := operandtest.Facts()
		facts.SystemPriority = tc.admitted
		p := plan(optionsOf(v1alpha1.ComponentOptions{PodOptions: v1alpha1.PodOptions{PriorityClassName: tc.class}}), facts)
		for _, component := range both {
			if got := slices.Contains(operandtest.Operations(t, operandtest.Find(t, p, component), "Deployment"), remove); got != tc.removed {
				t.Errorf("%s, %s: the asset's class is removed: %v", name, component, got)
			}
		}
	}
}

// TestOptionsBelongToOneComponent sees that no knob of one component reaches the other.
func TestOptionsBelongToOneComponent(t *testing.T) {
	spec := operandtest.Spec()
	spec.MetricsServer.Replicas = ptr.To[int32](4)
	spec.MetricsServer.Image = "example.com/ms:1"
	p := plan(spec, operandtest.Facts())
	adapter := operandtest.Find(t, p, prometheusadapter.Name)
	if got := operandtest.ValueAt(t, adapter, "/spec/replicas"); got != float64(2) {
		t.Errorf("the adapter has %v replicas, want 2", got)
	}
	if got, want := adapter.Images[prometheusadapter.Name], images()[prometheusadapter.Name]; got != want || got == "" {
		t.Errorf("the adapter's image is %q, want %q", got, want)
	}
	if got := operandtest.Find(t, p, metricsserver.Name).Images[metricsserver.Name]; got != "example.com/ms:1" {
		t.Errorf("metrics-server's image is %q", got)
	}
}

func TestOptionsDoNotChangeTheSpec(t *testing.T) {
	spec := operandtest.Spec()
	spec.MetricsServer.NodeSelector = map[string]string{"pool": "infra"}
	before := spec.DeepCopy()
	plan(spec, operandtest.Facts())
	if diff := cmp.Diff(*before, spec); diff != "" {
		t.Errorf("the spec, which the cache shares, was changed (-before +after):\n%s", diff)
	}
}

func TestVariants(t *testing.T) {
	for name, tc := range map[string]struct {
		replicas int32
		monitors bool
		want     []string
	}{
		"single":                       {1, false, nil},
		"several":                      {2, false, []string{"high-availability"}},
		"single with ServiceMonitors":  {1, true, []string{"monitor"}},
		"several with ServiceMonitors": {3, true, []string{"high-availability", "monitor"}},
	} {
		t.Run(name, func(t *testing.T) {
			facts := operandtest.Facts()
			if tc.monitors {
				facts.Served = cluster.Serving(kinds.ServiceMonitorCRD)
			}
			p := plan(optionsOf(v1alpha1.ComponentOptions{Replicas: &tc.replicas}), facts)
			for _, name := range both {
				c := operandtest.Find(t, p, name)
				if diff := cmp.Diff(tc.want, c.Variants); diff != "" {
					t.Errorf("%s (-want +got):\n%s", c.Name, diff)
				}
			}
		})
	}
}

func TestMonitorLabels(t *testing.T) {
	demanding := func(selector *metav1.LabelSelector) *prometheus.Selection {
		return &prometheus.Selection{Field: "serviceMonitorSelector", Selector: selector}
	}
	release := &metav1.LabelSelector{MatchLabels: map[string]string{"release": "stack"}}
	impossible := &metav1.LabelSelector{MatchLabels: map[string]string{"release": "stack", v1alpha1.ComponentLabel: "other"}}
	for name, tc := range map[string]struct {
		served    bool
		selection *prometheus.Selection
		want      []operand.Operation
	}{
		"demanded": {true, demanding(release),
			[]operand.Operation{{Op: "add", Path: "/metadata/labels", Value: map[string]any{"release": "stack"}}}},
		"none demanded":                   {true, demanding(&metav1.LabelSelector{}), nil},
		"no object stands behind the URL": {true, nil, nil},
		"the selector selects nothing":    {true, demanding(nil), nil},
		"a demand that cannot be met":     {true, demanding(impossible), nil},
		"no ServiceMonitors to label":     {false, demanding(release), nil},
	} {
		t.Run(name, func(t *testing.T) {
			facts := operandtest.Facts()
			if facts.Prometheus.Target.ServiceMonitors = tc.selection; tc.served {
				facts.Served = cluster.Serving(kinds.ServiceMonitorCRD)
			}
			p := plan(operandtest.Spec(), facts)
			for _, name := range both {
				if diff := cmp.Diff(tc.want, operandtest.Operations(t, operandtest.Find(t, p, name), "ServiceMonitor")); diff != "" {
					t.Errorf("%s (-want +got):\n%s", name, diff)
				}
			}
		})
	}
}

// TestEgress opens the NetworkPolicy to exactly the ports that the asset does not list, each once.
func TestEgress(t *testing.T) {
	for name, tc := range map[string]struct {
		apiServer []int32
		url       string
		server    []float64
		adapter   []float64
	}{
		"usual":                            {[]int32{443, 6443}, "https://thanos.monitoring.svc", nil, nil},
		"Prometheus on its usual port":     {nil, "http://prometheus.monitoring.svc:9090", nil, []float64{9090}},
		"plain http without a port":        {nil, "http://prometheus.monitoring.svc", nil, []float64{80}},
		"path and IPv6":                    {nil, "http://[fd00::1]:9091/prometheus", nil, []float64{9091}},
		"another API server port":          {[]int32{16443}, "https://thanos.svc", []float64{16443}, []float64{16443}},
		"several API servers on one port":  {[]int32{8443, 8443}, "https://thanos.svc", []float64{8443}, []float64{8443}},
		"API server and Prometheus alike":  {[]int32{9090}, "http://prometheus.svc:9090", []float64{9090}, []float64{9090}},
		"the kubelets' port as API server": {[]int32{10250}, "https://thanos.svc", nil, []float64{10250}},
	} {
		t.Run(name, func(t *testing.T) {
			facts := operandtest.Facts()
			facts.APIServerPorts, facts.Prometheus.Target.URL = tc.apiServer, tc.url
			p := plan(operandtest.Spec(), facts)
			for component, want := range map[string][]float64{metricsserver.Name: tc.server, prometheusadapter.Name: tc.adapter} {
				var got []float64
				for _, operation := range operandtest.Operations(t, operandtest.Find(t, p, component), "NetworkPolicy") {
					port := operation.Value.(map[string]any)
					if operation.Path != "/spec/egress/0/ports/-" || port["protocol"] != "TCP" {
						t.Errorf("%s: unexpected operation %+v", component, operation)
					}
					got = append(got, port["port"].(float64))
				}
				if diff := cmp.Diff(want, got); diff != "" {
					t.Errorf("%s (-want +got):\n%s", component, diff)
				}
			}
		})
	}
}

// TestEgressToURL: a Service may translate the port of the URL, and a network plugin compares the pod's, which cannot be
// known.
func TestEgressToURL(t *testing.T) {
	spec, facts := operandtest.Spec(), operandtest.Facts()
	spec.Prometheus.URL = "http://thanos.monitoring.svc:9090"
	facts.Prometheus.Target.URL, facts.APIServerPorts = spec.Prometheus.URL, []int32{16443}
	p := plan(spec, facts)
	operations := func(component string) []operand.Operation {
		return operandtest.Operations(t, operandtest.Find(t, p, component), "NetworkPolicy")
	}
	port := map[string]any{"protocol": "TCP"}
	want := []operand.Operation{{Op: "add", Path: "/spec/egress/0/ports/-", Value: port}}
	if diff := cmp.Diff(want, operations(prometheusadapter.Name)); diff != "" {
		t.Errorf("the adapter's NetworkPolicy (-want +got):\n%s", diff)
	}
	port["port"] = float64(16443)
	if diff := cmp.Diff(want, operations(metricsserver.Name)); diff != "" {
		t.Errorf("metrics-server's NetworkPolicy (-want +got):\n%s", diff)
	}
}

// TestEgressToDNS: ports beside those of the assets are let out over both protocols, each once.
func TestEgressToDNS(t *testing.T) {
	spec, facts := operandtest.Spec(), operandtest.Facts()
	facts.APIServerPorts, facts.Prometheus.Target.URL = nil, "https://thanos.svc"
	spec.NetworkPolicy.DNSPorts = []int32{10053, 53, 5353, 8053, 1053}
	var want []operand.Operation
	for _, port := range []float64{1053, 10053} {
		for _, protocol := range []string{"UDP", "TCP"} {
			want = append(want, operand.Operation{Op: "add", Path: "/spec/egress/0/ports/-",
				Value: map[string]any{"protocol": protocol, "port": port}})
		}
	}
	p := plan(spec, facts)
	for _, component := range []string{metricsserver.Name, prometheusadapter.Name} {
		got := operandtest.Operations(t, operandtest.Find(t, p, component), "NetworkPolicy")
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", component, diff)
		}
	}
}

// TestExtraArgsComeLast lets a user's flag win over one of the asset that the schema does not refuse.
func TestExtraArgsComeLast(t *testing.T) {
	spec := operandtest.Spec()
	spec.MetricsServer.ExtraArgs, spec.PrometheusAdapter.ExtraArgs = []string{"--v=9"}, []string{"--v=9"}
	for _, c := range plan(spec, operandtest.Facts()).Components {
		if given := operandtest.Args(t, c.Component); len(given) == 0 || slices.Index(given, "--v=9") != len(given)-1 {
			t.Errorf("%s: %q", c.Name, given)
		}
	}
}

func TestImages(t *testing.T) {
	environment := map[string]string{"RELATED_IMAGE_PROMETHEUS_ADAPTER": "mirror.example.com/adapter@sha256:abc"}
	images := operand.Images(Operands(), func(name string) string { return environment[name] })
	if got := images[prometheusadapter.Name]; got != "mirror.example.com/adapter@sha256:abc" {
		t.Errorf("RELATED_IMAGE_PROMETHEUS_ADAPTER is not used: %q", got)
	}
	if got := images[metricsserver.Name]; got == "" || got == "mirror.example.com/adapter@sha256:abc" {
		t.Errorf("metrics-server's default image is %q", got)
	}
	spec := operandtest.Spec()
	spec.PrometheusAdapter.Image = "example.com/adapter:2"
	p := operand.For(operand.Request{Spec: spec, Facts: operandtest.Facts(), Operands: Operands(), Images: images})
	if got := operandtest.Find(t, p, prometheusadapter.Name).Images[prometheusadapter.Name]; got != "example.com/adapter:2" {
		t.Errorf("spec.prometheusAdapter.image does not win over the environment: %q", got)
	}
}

// TestDigests: what config/ pins is what this release was tested with, and known by its version.
func TestDigests(t *testing.T) {
	content, err := os.ReadFile("../../../config/components/digests/images.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var patch appsv1.Deployment
	if err := yaml.UnmarshalStrict(content, &patch); err != nil {
		t.Fatal(err)
	}
	pinned := map[string]string{}
	for _, variable := range patch.Spec.Template.Spec.Containers[0].Env {
		pinned[variable.Name] = variable.Value
	}
	for _, o := range Operands() {
		d := o.Describe()
		repository, version, _ := util.SplitImageName(d.Image)
		for digest, of := range d.Catalog.Versions {
			if got, want := pinned[d.ImageVariable], repository+"@"+digest; got != want || of != version {
				t.Errorf("%s is %q in config/components/digests, want %q; its version is %s, want %s", d.ImageVariable, got, want, of, version)
			}
			delete(pinned, d.ImageVariable)
		}
	}
	if len(pinned) > 0 {
		t.Errorf("config/components/digests pins %v, which no operand knows the version of", pinned)
	}
}
