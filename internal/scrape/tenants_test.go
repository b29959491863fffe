// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package scrape

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	monitoringv1 "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/relabel"
	"k8s.io/utils/ptr"
)

// TestAnnotationsDoNotReachTheConfiguration: the config-reloader replaces $(VAR) by a variable of Prometheus' environment.
func TestAnnotationsDoNotReachTheConfiguration(t *testing.T) {
	for name, annotations := range map[string]map[string]string{
		"a value of a query":          annotated("path", "/metrics?x=$(POD_NAME)"),
		"escaped":                     annotated("path", "/metrics?x=%24(POD_NAME)"),
		"the name of a parameter":     annotated("path", "/metrics?$(POD_NAME)=1"),
		"a path":                      annotated("path", "/$(POD_NAME)"),
		"a dollar alone":              annotated("path", "/a$b"),
		"a port":                      annotated("port", "$(POD_NAME)"),
		"longer than can be honored":  annotated("path", "/m?x="+strings.Repeat("y", 2048)),
		"a name longer than can be":   annotated("port", strings.Repeat("y", 64)),
		"a scheme longer than can be": annotated("scheme", strings.Repeat("y", 1<<20)),
	} {
		app := App{Namespace: "apps", Name: "web", Annotations: annotations, Ports: webPorts}
		if _, rejection := Classify(app, prefix, false); rejection == nil || !strings.Contains(rejection.Reason, "annotation "+prefix) {
			t.Errorf("%s: rejected by %v", name, rejection)
		}
		endpoints := testEndpoints{service: "web", annotations: annotations, ports: webEndpoints, pods: []testPod{webPod("web-0", "10.0.0.1", nil)}}
		// The second monitor was written when the app had another query.
		before := App{Namespace: "apps", Name: "web", Annotations: annotated("path", "/metrics?x=1"), Ports: webPorts}
		for _, endpoint := range append(ServiceMonitor("apps", "m", []App{app}, config).Spec.Endpoints,
			ServiceMonitor("apps", "m", []App{before}, config).Spec.Endpoints...) {
			if strings.Contains(name, "escaped") || strings.Contains(name, "longer") {
				continue // Relabelings see neither what is escaped nor how long a value is; the monitor has no such parameter.
			}
			if got := scraped(t, endpoints.discover("endpointslice"), endpoint.RelabelConfigs, endpoint.Params); got != nil {
				t.Errorf("%s: scraped %q", name, got)
			}
		}
	}
	if _, rejection := Classify(App{Name: "web", Annotations: annotated(), Ports: make([]Port, mostPorts+1)}, prefix, false); rejection == nil ||
		!strings.Contains(rejection.Reason, "more than 100 ports") {
		t.Errorf("very many ports: %v", rejection)
	}
}

// TestLimits are those of the spec, and no target sends Prometheus elsewhere.
func TestLimits(t *testing.T) {
	limited := config
	limited.SampleLimit, limited.TargetLimit, limited.KeepDroppedTargets, limited.BodySizeLimit = 1, 2, 3, "4MB"
	app := App{Namespace: "apps", Name: "web", Annotations: annotated("path", "/m?x=1"), Ports: webPorts}
	type limits struct {
		Samples, Targets, Dropped *int64
		Body                      *monitoringv1.ByteSize
	}
	for c, want := range map[*Config]limits{
		&limited: {ptr.To[int64](1), ptr.To[int64](2), ptr.To[int64](3), ptr.To[monitoringv1.ByteSize]("4MB")},
		&config:  {},
	} {
		services, pods := ServiceMonitor("apps", "m", []App{app}, *c).Spec, PodMonitor("apps", "m", *c).Spec
		for _, got := range []limits{{services.SampleLimit, services.TargetLimit, services.KeepDroppedTargets, services.BodySizeLimit},
			{pods.SampleLimit, pods.TargetLimit, pods.KeepDroppedTargets, pods.BodySizeLimit}} {
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		}
		follows := []*bool{pods.PodMetricsEndpoints[0].FollowRedirects}
		for _, endpoint := range append(services.Endpoints, ServiceMonitorFor(app, "m", *c).Spec.Endpoints...) {
			follows = append(follows, endpoint.FollowRedirects)
		}
		for i, follow := range follows {
			if ptr.Deref(follow, true) {
				t.Errorf("endpoint %d follows redirects", i)
			}
		}
	}
}

// relabeled returns the labels of the only target that is left; empty where none is.
func relabeled(t *testing.T, targets []labelSet, relabelings []monitoringv1.RelabelConfig) labels.Labels {
	t.Helper()
	configs := make([]*relabel.Config, 0, len(relabelings))
	for _, relabeling := range relabelings {
		configs = append(configs, prometheusRelabeling(t, relabeling))
	}
	for _, target := range targets {
		builder := labels.NewBuilder(labels.FromMap(target))
		if relabel.ProcessBuilder(builder, configs...) {
			return builder.Labels()
		}
	}
	return labels.EmptyLabels()
}

// TestJobs carry the namespace: an app called apiserver is not the API server.
func TestJobs(t *testing.T) {
	app := App{Namespace: "apps", Name: "apiserver", Annotations: annotated("port", "8080"), Ports: webPorts}
	pod := webPod("web-0", "10.0.0.1", annotated("port", "8080"))
	endpoints := testEndpoints{service: app.Name, annotations: app.Annotations, ports: webEndpoints, pods: []testPod{webPod("web-0", "10.0.0.1", nil)}}
	for i, monitor := range []*monitoringv1.ServiceMonitor{ServiceMonitor("apps", "m", []App{app}, config), ServiceMonitorFor(app, "m", config)} {
		got := relabeled(t, endpoints.discover("endpointslice"), monitor.Spec.Endpoints[0].RelabelConfigs)
		if got.Get("job") != "apps/apiserver" || monitor.Spec.JobLabel != "" {
			t.Errorf("monitor %d: the job of a Service is %q", i, got.Get("job"))
		}
	}
	monitor := PodMonitor("apps", "m", config)
	for name, want := range map[string]string{"apiserver": "apps/apiserver", "": ""} { // Then it is apps/m, prometheus-operator's own.
		pod.app = name
		if got := relabeled(t, pod.discover(), monitor.Spec.PodMetricsEndpoints[0].RelabelConfigs); got.Get("job") != want ||
			monitor.Spec.JobLabel != "" {
			t.Errorf("the job of a Pod with the label %q is %q, want %q", name, got.Get("job"), want)
		}
	}
}

// TestHostNetwork: the address of such a Pod is its node's, where a tenant must not aim.
func TestHostNetwork(t *testing.T) {
	pod := webPod("agent-0", "192.0.2.1", annotated("port", "10250"))
	app := App{Namespace: "apps", Name: "agent", Annotations: annotated("port", "10250"), Ports: webPorts}
	endpoints := testEndpoints{service: app.Name, annotations: app.Annotations, ports: webEndpoints, pods: []testPod{webPod("agent-0", "192.0.2.1", nil)}}
	for _, allowed := range []bool{false, true} {
		c := config
		c.HostNetwork = allowed
		for name, got := range map[string]labels.Labels{
			"Service": relabeled(t, endpoints.discover("endpoint"), ServiceMonitor("apps", "m", []App{app}, c).Spec.Endpoints[0].RelabelConfigs),
			"Pod":     relabeled(t, pod.discover(), PodMonitor("apps", "m", c).Spec.PodMetricsEndpoints[0].RelabelConfigs),
		} {
			if (got.Get("__address__") == "192.0.2.1:10250") != allowed {
				t.Errorf("%s, allowed %v: %v", name, allowed, got)
			}
		}
	}
}
