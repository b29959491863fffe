// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package component

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/utils/ptr"

	"github.com/metricspipeline/operator/api/v1alpha1"
)

// TestOptions holds every knob that all components share to the place in the Deployment that it is about.
func TestOptions(t *testing.T) {
	resources := &corev1.ResourceRequirements{Limits: corev1.ResourceList{corev1.ResourceMemory: resource.MustParse("1Gi")}}
	tolerations := []corev1.Toleration{{Key: "dedicated", Operator: corev1.TolerationOpExists}}
	affinity := &corev1.Affinity{PodAntiAffinity: &corev1.PodAntiAffinity{}}

	const pod, container = "/spec/template/spec", "/spec/template/spec/containers/0"
	for name, tc := range map[string]struct {
		options v1alpha1.ComponentOptions
		path    string
		want    any
	}{
		"replicas":                               {v1alpha1.ComponentOptions{Replicas: ptr.To[int32](3)}, "/spec/replicas", 3},
		"replicas where the schema was bypassed": {v1alpha1.ComponentOptions{}, "/spec/replicas", 2},
		"resources":                              {v1alpha1.ComponentOptions{Resources: resources}, container + "/resources", resources},
		"no resources keep the asset's":          {v1alpha1.ComponentOptions{}, container + "/resources", nil},
		"tolerations":                            {v1alpha1.ComponentOptions{Tolerations: tolerations}, pod + "/tolerations", tolerations},
		"no tolerations":                         {v1alpha1.ComponentOptions{}, pod + "/tolerations", nil},
		"affinity":                               {v1alpha1.ComponentOptions{Affinity: affinity}, pod + "/affinity", affinity},
		"no affinity":                            {v1alpha1.ComponentOptions{}, pod + "/affinity", nil},
		"priority class": {v1alpha1.ComponentOptions{PriorityClassName: ptr.To("batch")},
			pod + "/priorityClassName", "batch"},
		"no priority class keeps the asset's": {v1alpha1.ComponentOptions{}, pod + "/priorityClassName", nil},
		"node selector gains the operating system": {v1alpha1.ComponentOptions{NodeSelector: map[string]string{"pool": "infra"}},
			pod + "/nodeSelector", map[string]string{"pool": "infra", "kubernetes.io/os": "linux"}},
		"node selector cannot choose another operating system": {
			v1alpha1.ComponentOptions{NodeSelector: map[string]string{"kubernetes.io/os": "windows"}},
			pod + "/nodeSelector", map[string]string{"kubernetes.io/os": "linux"}},
		"no node selector keeps the asset's": {v1alpha1.ComponentOptions{}, pod + "/nodeSelector", nil},
	} {
		t.Run(name, func(t *testing.T) {
			spec := withRules()
			spec.MetricsServer.ComponentOptions = tc.options
			spec.PrometheusAdapter.ComponentOptions = tc.options
			plan := For(spec, offered())
			for _, component := range []string{MetricsServer, PrometheusAdapter} {
				if diff := cmp.Diff(asJSON(t, tc.want), valueAt(t, find(t, plan, component), tc.path)); diff != "" {
					t.Errorf("%s, %s (-want +got):\n%s", component, tc.path, diff)
				}
			}
		})
	}
}

// TestOptionsBelongToOneComponent sees that no knob of one component reaches the other.
func TestOptionsBelongToOneComponent(t *testing.T) {
	spec := withRules()
	spec.MetricsServer.Replicas = ptr.To[int32](4)
	spec.MetricsServer.Image = "example.com/ms:1"
	plan := For(spec, offered())
	if got := valueAt(t, find(t, plan, PrometheusAdapter), "/spec/replicas"); got != float64(2) {
		t.Errorf("the adapter has %v replicas, want 2", got)
	}
	if got, want := find(t, plan, PrometheusAdapter).Image, offered().Images[PrometheusAdapter]; got != want {
		t.Errorf("the adapter's image is %q, want %q", got, want)
	}
	if got := find(t, plan, MetricsServer).Image; got != "example.com/ms:1" {
		t.Errorf("metrics-server's image is %q", got)
	}
}

func TestOptionsDoNotChangeTheSpec(t *testing.T) {
	spec := withRules()
	spec.MetricsServer.NodeSelector = map[string]string{"pool": "infra"}
	before := spec.DeepCopy()
	For(spec, offered())
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
			spec, caps := withRules(), offered()
			spec.MetricsServer.Replicas, spec.PrometheusAdapter.Replicas = &tc.replicas, &tc.replicas
			caps.ServiceMonitors = tc.monitors
			for _, c := range For(spec, caps).Components {
				if diff := cmp.Diff(tc.want, c.Variants); diff != "" {
					t.Errorf("%s (-want +got):\n%s", c.Name, diff)
				}
			}
		})
	}
}

func TestMonitorLabels(t *testing.T) {
	labels := map[string]string{"release": "stack"}
	for name, tc := range map[string]struct {
		served bool
		labels map[string]string
		want   []operation
	}{
		"demanded":                    {true, labels, []operation{{"add", "/metadata/labels", map[string]any{"release": "stack"}}}},
		"none demanded":               {true, nil, nil},
		"no ServiceMonitors to label": {false, labels, nil},
	} {
		t.Run(name, func(t *testing.T) {
			caps := offered()
			caps.ServiceMonitors, caps.MonitorLabels = tc.served, tc.labels
			for _, c := range For(withRules(), caps).Components {
				if diff := cmp.Diff(tc.want, operationsOn(t, c, "ServiceMonitor")); diff != "" {
					t.Errorf("%s (-want +got):\n%s", c.Name, diff)
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
			caps := offered()
			caps.APIServerPorts, caps.Prometheus.URL = tc.apiServer, tc.url
			plan := For(withRules(), caps)
			for component, want := range map[string][]float64{MetricsServer: tc.server, PrometheusAdapter: tc.adapter} {
				var got []float64
				for _, operation := range operationsOn(t, find(t, plan, component), "NetworkPolicy") {
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
	spec, caps := withRules(), offered()
	spec.Prometheus.URL, caps.Prometheus.URL = "http://thanos.monitoring.svc:9090", "http://thanos.monitoring.svc:9090"
	caps.APIServerPorts = []int32{16443}
	plan := For(spec, caps)
	want := []operation{{"add", "/spec/egress/0/ports/-", map[string]any{"protocol": "TCP"}}}
	if diff := cmp.Diff(want, operationsOn(t, find(t, plan, PrometheusAdapter), "NetworkPolicy")); diff != "" {
		t.Errorf("the adapter's NetworkPolicy (-want +got):\n%s", diff)
	}
	want = []operation{{"add", "/spec/egress/0/ports/-", map[string]any{"protocol": "TCP", "port": float64(16443)}}}
	if diff := cmp.Diff(want, operationsOn(t, find(t, plan, MetricsServer), "NetworkPolicy")); diff != "" {
		t.Errorf("metrics-server's NetworkPolicy (-want +got):\n%s", diff)
	}
}

func TestImages(t *testing.T) {
	environment := map[string]string{"RELATED_IMAGE_PROMETHEUS_ADAPTER": "mirror.example.com/adapter@sha256:abc"}
	images := Images(func(name string) string { return environment[name] })
	if got := images[PrometheusAdapter]; got != "mirror.example.com/adapter@sha256:abc" {
		t.Errorf("RELATED_IMAGE_PROMETHEUS_ADAPTER is not used: %q", got)
	}
	if got := images[MetricsServer]; got == "" || got == "mirror.example.com/adapter@sha256:abc" {
		t.Errorf("metrics-server's default image is %q", got)
	}
	spec := withRules()
	spec.PrometheusAdapter.Image = "example.com/adapter:2"
	caps := offered()
	caps.Images = images
	if got := find(t, For(spec, caps), PrometheusAdapter).Image; got != "example.com/adapter:2" {
		t.Errorf("spec.prometheusAdapter.image does not win over the environment: %q", got)
	}
}
