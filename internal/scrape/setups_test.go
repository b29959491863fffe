// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package scrape

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	monitoringv1 "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	corev1 "k8s.io/api/core/v1"
)

// ofServices returns the targets of a namespace's ServiceMonitor, each as often as an endpoint of it has it.
func ofServices(t *testing.T, c Config, apps []App, endpoints ...testEndpoints) []string {
	t.Helper()
	for _, app := range apps {
		c.ServicesSeen = c.ServicesSeen.With(See(prefix, app.Annotations))
	}
	return ofMonitor(t, ServiceMonitor("apps", "m", apps, c), endpoints...)
}

func ofMonitor(t *testing.T, monitor *monitoringv1.ServiceMonitor, endpoints ...testEndpoints) []string {
	t.Helper()
	checkText(t, monitor)
	jobs := plain(t, monitor)
	var got []string
	for i, endpoint := range monitor.Spec.Endpoints {
		for _, e := range endpoints {
			targets := e.discover("endpointslice")
			for _, target := range scraped(t, targets, endpoint.RelabelConfigs, endpoint.Params) {
				got = append(got, paced(target, endpoint.Interval))
			}
			expectPlain(t, relabeledTargets(t, targets, endpoint.RelabelConfigs, endpoint.Params), e.discover("endpointslice"), jobs[i])
		}
	}
	slices.Sort(got)
	return got
}

// ofPods returns the targets of a namespace's PodMonitor, each as often as an endpoint of it has it.
func ofPods(t *testing.T, c Config, pods ...testPod) []string {
	t.Helper()
	for _, pod := range pods {
		c.PodsSeen = c.PodsSeen.With(See(prefix, pod.annotations))
	}
	monitor := PodMonitor("apps", "m", c)
	checkText(t, monitor)
	jobs := plain(t, monitor)
	var got []string
	for i, endpoint := range monitor.Spec.PodMetricsEndpoints {
		for _, pod := range pods {
			targets := pod.discover()
			for _, target := range scraped(t, targets, endpoint.RelabelConfigs, endpoint.Params) {
				got = append(got, paced(target, endpoint.Interval))
			}
			expectPlain(t, relabeledTargets(t, targets, endpoint.RelabelConfigs, endpoint.Params), pod.discover(), jobs[i])
		}
	}
	slices.Sort(got)
	return got
}

// paced says of a target that it has an interval of its own.
func paced(target string, interval monitoringv1.Duration) string {
	if interval == "" {
		return target
	}
	return target + " each " + string(interval)
}

// web is an annotated Service in front of one Pod, with its endpoints.
func web(annotations map[string]string) (App, testEndpoints) {
	return App{Namespace: "apps", Name: "web", Annotations: annotations, Ports: webPorts},
		testEndpoints{service: "web", annotations: annotations, ports: webEndpoints, pods: []testPod{webPod("web-0", "10.0.0.1", nil)}}
}

func TestParameters(t *testing.T) {
	pods := []testPod{
		webPod("plain", "10.0.0.1", annotated("port", "80")),
		webPod("query", "10.0.0.2", annotated("port", "80", "path", "/m?x=1&y=a+b")),
		webPod("param", "10.0.0.3", annotated("port", "80", "param_x", "1")),
		webPod("params", "10.0.0.4", annotated("port", "80", "param_x", "1", "param_y", "(a|b)")),
		webPod("both", "10.0.0.5", annotated("port", "80", "path", "/m?x=1", "param_x", "2")),
		webPod("slow", "10.0.0.6", annotated("port", "80", "path", "/m?x=1", "scrape-slow", "true")),
		webPod("another", "10.0.0.7", annotated("port", "80", "param_x", "10")),
		webPod("beyond", "10.0.0.8", annotated("port", "80", "param_x", "1", "param_z", "1")), // It has no place.
	}
	c := config
	for _, pod := range pods[:len(pods)-1] {
		query, rejection := ClassifyPod(prefix, pod.annotations)
		if rejection != nil {
			t.Fatal(rejection)
		}
		if query != (PodQuery{}) {
			c.Queries = append(c.Queries, query)
		}
	}
	want := []string{
		"http://10.0.0.1:80/metrics pod=plain endpoint=80",
		"http://10.0.0.2:80/m?map[x:[1] y:[a b]] pod=query endpoint=80",
		"http://10.0.0.3:80/metrics?map[x:[1]] pod=param endpoint=80",
		"http://10.0.0.4:80/metrics?map[x:[1] y:[(a|b)]] pod=params endpoint=80",
		"http://10.0.0.5:80/m?map[x:[1 2]] pod=both endpoint=80",
		"http://10.0.0.6:80/m?map[x:[1]] pod=slow endpoint=80 each 5m",
		"http://10.0.0.7:80/metrics?map[x:[10]] pod=another endpoint=80",
	}
	if diff := cmp.Diff(want, ofPods(t, c, pods...)); diff != "" {
		t.Errorf("Pods (-want +got):\n%s", diff)
	}
	app, endpoints := web(annotated("port", "80", "path", "/m?x=1", "param_y", "2"))
	want = []string{"http://10.0.0.1:8080/m?map[x:[1] y:[2]] service=web pod=web-0 container=app endpoint=8080"}
	if diff := cmp.Diff(want, ofServices(t, config, []App{app}, endpoints)); diff != "" {
		t.Errorf("Service (-want +got):\n%s", diff)
	}
	// One that has no place is not scraped without its parameters.
	c = config
	c.ServicesSeen.Params = true
	if got := ofServices(t, c, nil, endpoints); len(got) > 0 {
		t.Errorf("beyond the limit: %q", got)
	}
}

func TestRejectedParameters(t *testing.T) {
	many := annotated()
	for _, name := range strings.Split("abcdefghijklmnopq", "") {
		many[prefix+"/param_"+name] = "1"
	}
	for says, annotations := range map[string]map[string]string{
		"into the query of prometheus.io/path":  annotated("param_x-y", "1"),
		"begins with no digit":                  annotated("param_1", "1"),
		"without a dollar":                      annotated("param_x", "$(HOME)"),
		"1 to 256":                              annotated("param_x", ""),
		"at most 16 parameters":                 many,
		"cannot have a list of ports":           annotated("port", "1,2", "param_x", "1"),
		"annotate a Service for each port":      annotated("port", "1,2", "path", "/m?x=1"),
		"leave the question mark out":           annotated("path", "/m?"),
		"is named <<, which YAML reads":         annotated("path", "/m?%3C%3C=x"),
		"a list such as 8080,9090":              annotated("port", "8080;9090"),
		"without the annotation every declared": annotated("port", "8080,"),
		"at most 8 ports; write a monitor":      annotated("port", "1,2,3,4,5,6,7,8,9"),
	} {
		_, ofPod := ClassifyPod(prefix, annotations)
		_, ofService := Classify(App{Annotations: annotations, Ports: webPorts}, prefix, false)
		_, kept := ClassifyPod(prefix, Under(prefix, Kept(prefix, annotations)))
		for kind, rejection := range map[string]*Rejection{"Pod": ofPod, "Service": ofService, "kept": kept} {
			if rejection == nil || !strings.Contains(rejection.Reason, says) || *rejection != *ofPod {
				t.Errorf("%s, %q: %v", kind, says, rejection)
			}
		}
	}
}

func TestSlowApps(t *testing.T) {
	only := map[string]string{prefix + "/scrape-slow": "Yes", prefix + "/port": "80"}
	off := annotated("port", "80", "scrape-slow", "no")
	const line = "http://10.0.0.1:8080/metrics service=web pod=web-0 container=app endpoint=8080"
	c := config
	c.ServicesSeen.Slow = true
	for name, tc := range map[string]struct {
		annotations map[string]string
		want        string
	}{
		"both":                         {annotated("port", "80", "scrape-slow", "true"), line + " each 5m"},
		"alone":                        {only, line + " each 5m"},
		"no":                           {off, line},
		"every port, of an undeclared": {annotated("port", "7777", "scrape-slow", "1"), "http://10.0.0.1:7777/metrics service=web pod=web-0 endpoint=7777 each 5m"},
	} {
		app, endpoints := web(tc.annotations)
		for by, got := range map[string][]string{"grouped": ofServices(t, c, []App{app}, endpoints), "alone": alone(t, c, app, endpoints)} {
			if diff := cmp.Diff([]string{tc.want}, got); diff != "" {
				t.Errorf("%s, %s (-want +got):\n%s", name, by, diff)
			}
		}
	}
	c.SlowInterval, c.SlowTimeout = "10m", "1m"
	if got, want := ofPods(t, c, webPod("web-0", "10.0.0.1", only)), []string{"http://10.0.0.1:80/metrics pod=web-0 endpoint=80 each 10m"}; !slices.Equal(got, want) {
		t.Errorf("a Pod: %q", got)
	}
	if timeout := PodMonitor("apps", "m", Config{Prefix: prefix, PodsSeen: Seen{Slow: true}}).Spec.PodMetricsEndpoints[1].ScrapeTimeout; timeout != "30s" {
		t.Errorf("timeout %s", timeout)
	}
}

// TestNativeSidecars: discovery does not say which init containers go on running.
func TestNativeSidecars(t *testing.T) {
	for annotation, want := range map[string][2]int{"init": {0, 1}, "7000": {1, 1}, "": {3, 4}, "init,http": {1, 2}} {
		set := annotated("port", annotation)
		if annotation == "" {
			set = annotated()
		}
		pod := webPod("web-0", "10.0.0.1", set)
		pod.containers = append(pod.containers, testContainer{name: "migrate", init: true, ports: []testPort{{"init", 7001, "TCP"}}})
		for i, names := range [][]string{nil, {"setup", "istio-proxy"}} {
			c := config
			c.NativeSidecars = names
			if got := ofPods(t, c, pod); len(got) != want[i] {
				t.Errorf("port %q, sidecars %q: %q", annotation, names, got)
			}
		}
	}
}

// TestAPortNameOfTwoContainers: an init container that is made from another's template has the names of its ports.
func TestAPortNameOfTwoContainers(t *testing.T) {
	for port, want := range map[string]int{"metrics": 1, "metrics,8080": 2} {
		app, endpoints := web(annotated("port", port))
		pod := &endpoints.pods[0]
		pod.containers[0].ports = []testPort{{"metrics", 9090, "TCP"}}
		pod.annotations = nil
		if got := ofServices(t, config, []App{app}, endpoints); len(got) != want {
			t.Errorf("Service, port %q: %q", port, got)
		}
		pod.annotations = app.Annotations
		if got := ofPods(t, config, *pod); len(got) != want {
			t.Errorf("Pod, port %q: %q", port, got)
		}
	}
}

// TestHTTPSAlone: what needs an object of the namespace is in a monitor that has no app of another scheme.
func TestHTTPSAlone(t *testing.T) {
	plain, encrypted := annotated("port", "80"), annotated("port", "80", "scheme", "HTTPS")
	c := config
	c.CA = &monitoringv1.SecretOrConfigMap{ConfigMap: &corev1.ConfigMapKeySelector{Key: "ca.crt"}}
	c.Token = &corev1.SecretKeySelector{Key: "token"}
	c.ServerName, c.HonorLabels, c.PodTargetLabels = "metrics.example.com", true, []string{"app"}
	for schemes, want := range map[Schemes]struct {
		http, https int
		secret      bool
	}{AnyScheme: {1, 1, false}, OnlyHTTP: {1, 0, false}, OnlyHTTPS: {0, 1, true}} {
		c.Schemes = schemes
		for scheme, annotations := range map[bool]map[string]string{false: plain, true: encrypted} {
			expected := want.http
			if scheme {
				expected = want.https
			}
			app, endpoints := web(annotations)
			query := app
			query.Annotations = annotated("port", "80", "path", "/m?x=1", "scheme", app.Annotations[prefix+"/scheme"])
			if !scheme {
				query.Annotations[prefix+"/scheme"] = "http"
			}
			asked := endpoints
			asked.annotations = query.Annotations
			for kind, got := range map[string][]string{"Service": ofServices(t, c, []App{app}, endpoints), "Service with a query": ofServices(t, c, []App{query}, asked),
				"Pod": ofPods(t, c, webPod("web-0", "10.0.0.1", annotations))} {
				if len(got) != expected {
					t.Errorf("%d, %s: %q", schemes, kind, got)
				}
			}
		}
		services, pods := ServiceMonitor("apps", "m", nil, c).Spec, PodMonitor("apps", "m"+httpsSuffix, c).Spec
		service, pod := services.Endpoints[0], pods.PodMetricsEndpoints[0]
		if got := service.Authorization != nil && pod.Authorization != nil && service.TLSConfig.CA.ConfigMap != nil && pod.TLSConfig.CA.ConfigMap != nil; got != want.secret {
			t.Errorf("%d: %+v, %+v", schemes, service, pod)
		}
		if !want.secret && (service.Authorization != nil || pod.Authorization != nil || service.TLSConfig != nil && service.TLSConfig.CA.ConfigMap != nil) {
			t.Errorf("%d: needs an object: %+v, %+v", schemes, service, pod)
		}
		if !service.HonorLabels || !pod.HonorLabels || !slices.Equal(services.PodTargetLabels, []string{"app"}) || !slices.Equal(pods.PodTargetLabels, []string{"app"}) {
			t.Errorf("%d: honors %v, %v, labels %q, %q", schemes, service.HonorLabels, pod.HonorLabels, services.PodTargetLabels, pods.PodTargetLabels)
		}
	}
	// The job does not tell the scheme.
	c.Schemes = OnlyHTTPS
	pod := webPod("web-0", "10.0.0.1", encrypted)
	if job := relabeled(t, pod.discover(), PodMonitor("apps", HTTPSName("m"), c).Spec.PodMetricsEndpoints[0].RelabelConfigs).Get("job"); job != "apps/m" {
		t.Errorf("job %q", job)
	}
	app, _ := web(encrypted)
	if alone := ServiceMonitorFor(app, "m", c); alone.Spec.Endpoints[0].Authorization == nil {
		t.Error("a Service alone gets no token")
	}
}
