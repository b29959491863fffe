// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package promconfig

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	commonconfig "github.com/prometheus/common/config"
	"github.com/prometheus/common/promslog"
	"github.com/prometheus/prometheus/config"
	"github.com/prometheus/prometheus/discovery"
	"github.com/prometheus/prometheus/discovery/kubernetes"
	"github.com/prometheus/prometheus/discovery/targetgroup"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/scrape"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/utils/ptr"
)

// objects are what both configurations discover, by namespace.
type objects struct {
	services []corev1.Service
	slices   []discoveryv1.EndpointSlice
	pods     []corev1.Pod
}

const (
	ownNamespace = "metricspipeline-system"
	prefix       = "prometheus.io"
)

func annotated(prefix string, values ...string) map[string]string {
	set := map[string]string{prefix + "/scrape": "true"}
	for i := 0; i < len(values); i += 2 {
		set[prefix+"/"+values[i]] = values[i+1]
	}
	return set
}

// pod has an init container, one with three ports, and a sidecar.
func pod(namespace, name, ip string, annotations map[string]string) corev1.Pod {
	port := func(name string, number int32, protocol corev1.Protocol) corev1.ContainerPort {
		return corev1.ContainerPort{Name: name, ContainerPort: number, Protocol: protocol}
	}
	return corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name, Annotations: annotations,
			Labels: map[string]string{"app.kubernetes.io/name": "web", "app.kubernetes.io/version": "1", "team": name}},
		Spec: corev1.PodSpec{NodeName: "node-1",
			InitContainers: []corev1.Container{{Name: "istio-proxy", Ports: []corev1.ContainerPort{port("init", 7000, "TCP")}}},
			Containers: []corev1.Container{
				{Name: "app", Ports: []corev1.ContainerPort{port("http", 8080, "TCP"), port("metrics", 9090, "TCP"), port("gossip", 9091, "UDP")}},
				{Name: "proxy", Ports: []corev1.ContainerPort{port("admin", 15000, "TCP")}},
			}},
		Status: corev1.PodStatus{Phase: corev1.PodRunning, PodIP: ip, HostIP: "192.0.2.1", PodIPs: []corev1.PodIP{{IP: ip}}},
	}
}

// add adds a Service with its endpoints: two Pods, of one family each, an address that is made by hand, and a node.
func (o *objects) add(namespace, name string, annotations, podAnnotations map[string]string) {
	number := len(o.services) + 1
	labelled := map[string]string{"metricspipeline.io/component": name, "app.kubernetes.io/name": name}
	o.services = append(o.services, corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name, Annotations: annotations, Labels: labelled}})
	one := pod(namespace, name+"-0", fmt.Sprintf("10.0.%d.1", number), podAnnotations)
	two := pod(namespace, name+"-1", fmt.Sprintf("fd00:%d::1", number), nil)
	ended := pod(namespace, name+"-2", fmt.Sprintf("10.0.%d.3", number), podAnnotations)
	ended.Status.Phase = corev1.PodSucceeded
	o.pods = append(o.pods, one, two, ended)
	to := func(kind, name string) *corev1.ObjectReference {
		return &corev1.ObjectReference{Kind: kind, Namespace: namespace, Name: name}
	}
	ports := []discoveryv1.EndpointPort{{Name: ptr.To("http"), Port: ptr.To[int32](8080), Protocol: ptr.To(corev1.ProtocolTCP)},
		{Name: ptr.To("admin"), Port: ptr.To[int32](15000), Protocol: ptr.To(corev1.ProtocolTCP)},
		{Name: ptr.To("https"), Port: ptr.To[int32](10250), Protocol: ptr.To(corev1.ProtocolTCP)},
		{Name: ptr.To("metrics"), Port: ptr.To[int32](8443), Protocol: ptr.To(corev1.ProtocolTCP)}}
	slice := func(family discoveryv1.AddressType, endpoints ...discoveryv1.Endpoint) discoveryv1.EndpointSlice {
		return discoveryv1.EndpointSlice{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name + "-" + strings.ToLower(string(family)),
			Labels: map[string]string{discoveryv1.LabelServiceName: name}}, AddressType: family, Endpoints: endpoints, Ports: ports}
	}
	o.slices = append(o.slices,
		slice(discoveryv1.AddressTypeIPv4,
			discoveryv1.Endpoint{Addresses: []string{one.Status.PodIP}, TargetRef: to("Pod", one.Name)},
			discoveryv1.Endpoint{Addresses: []string{ended.Status.PodIP}, TargetRef: to("Pod", ended.Name)},
			discoveryv1.Endpoint{Addresses: []string{"169.254.169.254"}},
			discoveryv1.Endpoint{Addresses: []string{"10.255.255.1"}, TargetRef: to("Pod", two.Name)},
			discoveryv1.Endpoint{Addresses: []string{"192.0.2.1"}, TargetRef: to("Node", "node-1")}),
		slice(discoveryv1.AddressTypeIPv6, discoveryv1.Endpoint{Addresses: []string{two.Status.PodIP}, TargetRef: to("Pod", two.Name)}))
}

// world has what the monitors of the corpus are about, and the same under another prefix and in another namespace.
func world() *objects {
	o := &objects{}
	const otherPrefix = "metrics.example.com"
	for _, app := range []struct {
		name   string
		values []string
	}{
		{"port", []string{"port", "80"}}, {"undeclared", []string{"port", "7777"}}, {"container", []string{"port", "metrics"}},
		{"query", []string{"path", `/m?x=it's: "#1", [a] {b} & \ *&y=%7B%7D`}}, {"slow", []string{"port", "8081", "scrape-slow", "1"}},
		{"list", []string{"port", "8080,7777,metrics"}}, {"yes", []string{"port", "80", "param_on", "no: - ? | > % @ ` 0x1"}},
		{"by-hand", []string{"port", "8080"}}, {"every", nil}, {"https", []string{"scheme", "https", "port", "8080"}},
	} {
		set := annotated(prefix, app.values...)
		for key, value := range annotated(otherPrefix, append(app.values, "scheme", "https")...) {
			set[key] = value
		}
		o.add("apps", app.name, set, nil)
		o.add("other", app.name, set, set)
	}
	for i, values := range [][]string{{"port", "8080"}, {"port", "80,metrics,7777"}, {"path", "/m?x=1&y=a+b"}, {"param_z", `'"`, "scrape-slow", "yes"}, nil} {
		set := annotated(prefix, values...)
		for key, value := range annotated(otherPrefix, append(values, "scheme", "https")...) {
			set[key] = value
		}
		one := pod("apps", fmt.Sprint("pod-", i), fmt.Sprintf("10.1.0.%d", i+1), set)
		host := pod("apps", fmt.Sprint("host-", i), "192.0.2.1", set)
		ended := pod("apps", fmt.Sprint("ended-", i), fmt.Sprintf("10.1.1.%d", i+1), set)
		ended.Status.Phase = corev1.PodFailed
		o.pods = append(o.pods, one, host, ended)
	}
	o.add("apps", "of-annotated-pods", annotated(prefix, "port", "8080"), annotated(prefix, "port", "metrics"))
	for _, component := range []string{"metrics-server", "prometheus-adapter", "metricspipeline-operator", "bystander"} {
		o.add(ownNamespace, component, nil, nil)
	}
	return o
}

// serve answers like an API server with the objects.
func (o *objects) serve(t *testing.T) *url.URL {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Query().Get("watch") != "" {
			if r.URL.Query().Get("sendInitialEvents") != "" {
				http.Error(w, "watch lists are not served", http.StatusBadRequest)
				return
			}
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(http.StatusOK)
			w.(http.Flusher).Flush()
			<-r.Context().Done() // Nothing changes.
			return
		}
		parts := strings.Split(r.URL.Path, "/")
		namespace, kind := parts[len(parts)-2], parts[len(parts)-1]
		var list runtime.Object
		switch kind {
		case "services":
			all := &corev1.ServiceList{TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "ServiceList"}}
			all.Items = in(namespace, o.services, func(s corev1.Service) string { return s.Namespace })
			list = all
		case "pods":
			all := &corev1.PodList{TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "PodList"}}
			all.Items = in(namespace, o.pods, func(p corev1.Pod) string { return p.Namespace })
			list = all
		case "endpointslices":
			all := &discoveryv1.EndpointSliceList{TypeMeta: metav1.TypeMeta{APIVersion: "discovery.k8s.io/v1", Kind: "EndpointSliceList"}}
			all.Items = in(namespace, o.slices, func(e discoveryv1.EndpointSlice) string { return e.Namespace })
			list = all
		default:
			http.NotFound(w, r)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		if err := json.NewEncoder(w).Encode(list); err != nil {
			t.Error(err)
		}
	}))
	t.Cleanup(server.CloseClientConnections)
	t.Cleanup(server.Close)
	address, err := url.Parse(server.URL)
	must(t, err)
	return address
}

func in[T any](namespace string, all []T, of func(T) string) []T {
	return slices.DeleteFunc(slices.Clone(all), func(one T) bool { return of(one) != namespace })
}

// discover returns what a job discovers at an API server.
func (o *objects) discover(t *testing.T, job *config.ScrapeConfig, server *url.URL) []*targetgroup.Group {
	t.Helper()
	if len(job.ServiceDiscoveryConfigs) != 1 {
		t.Fatalf("%s discovers by %v", job.JobName, job.ServiceDiscoveryConfigs)
	}
	sd := *job.ServiceDiscoveryConfigs[0].(*kubernetes.SDConfig)
	sd.APIServer = commonconfig.URL{URL: server}
	registry := prometheus.NewRegistry()
	metrics := sd.NewDiscovererMetrics(registry, discovery.NewRefreshMetrics(registry))
	must(t, metrics.Register())
	discoverer, err := sd.NewDiscoverer(discovery.DiscovererOptions{Logger: promslog.NewNopLogger(), Metrics: metrics})
	must(t, err)
	namespace := sd.NamespaceDiscovery.Names[0]
	expected := len(in(namespace, o.slices, func(e discoveryv1.EndpointSlice) string { return e.Namespace }))
	if sd.Role == kubernetes.RolePod {
		expected = len(in(namespace, o.pods, func(p corev1.Pod) string { return p.Namespace }))
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	updates := make(chan []*targetgroup.Group)
	go discoverer.Run(ctx, updates)
	groups := map[string]*targetgroup.Group{}
	for len(groups) < expected {
		for _, group := range <-updates {
			groups[group.Source] = group
		}
	}
	var all []*targetgroup.Group
	for _, group := range groups {
		all = append(all, group)
	}
	return all
}

// targets returns the URLs and labels of the targets of a job, as Prometheus scrapes them.
func targets(t *testing.T, job *config.ScrapeConfig, groups []*targetgroup.Group) []string {
	t.Helper()
	found := map[string]bool{}
	builder := labels.NewBuilder(labels.EmptyLabels())
	for _, group := range groups {
		all, failures := scrape.TargetsFromGroup(group, job, nil, builder)
		if len(failures) > 0 {
			t.Errorf("%s: %v", job.JobName, failures)
		}
		for _, target := range all {
			if set := target.Labels(builder); !set.IsEmpty() {
				found[target.URL().String()+" "+set.String()] = true
			}
		}
	}
	var sorted []string
	for target := range found {
		sorted = append(sorted, target)
	}
	slices.Sort(sorted)
	return sorted
}

// TestTargets: of the same objects the jobs make the same targets, all of them in the namespace of the monitor.
func TestTargets(t *testing.T) {
	want, got, objects := theirs(t), load(t, global+read(t, "scrape_configs.yaml")), world()
	server := objects.serve(t)
	discovered, scraped := map[string][]*targetgroup.Group{}, 0
	for name, job := range want {
		namespace := strings.Split(name, "/")[1]
		key := strings.Split(name, "/")[0] + " " + namespace
		if discovered[key] == nil {
			discovered[key] = objects.discover(t, job, server)
		}
		expected := targets(t, job, discovered[key])
		if len(expected) > 0 {
			scraped++
		}
		for _, target := range expected {
			elsewhere := strings.Contains(target, "169.254.") || strings.Contains(target, "10.255.")
			if !strings.Contains(target, fmt.Sprintf("namespace=%q", namespace)) ||
				elsewhere && namespace == "apps" && !strings.Contains(target, `service="by-hand"`) {
				t.Errorf("%s: %s", name, target)
			}
		}
		if diff := cmp.Diff(expected, targets(t, got[name], discovered[key])); diff != "" {
			t.Errorf("%s (-prometheus-operator +ours):\n%s", name, diff)
		}
	}
	if scraped < len(want)*2/3 {
		t.Errorf("%d of %d jobs have targets: the proof is of little", scraped, len(want))
	}
}
