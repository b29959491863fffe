// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	monitoringv1 "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v1alpha1 "github.com/metricspipeline/operator/api/v1alpha1"
	"github.com/metricspipeline/operator/test/e2e/kit"
)

// p7 is what a thousand annotated Services cost Prometheus. All of them lead to one pod, by EndpointSlices made by hand; one
// in ten has a second port, which is where a target comes to be scraped twice.
var p7 = row{
	name: "P7",
	about: "what 1,000 annotated Services cost Prometheus: granularity Namespace and Service, and the grouped ServiceMonitor " +
		"that one would write by hand",
	measure: measureP7,
}

const (
	p7Services  = 1_000
	p7Namespace = "bench-scraped"
	p7Pod       = "app"
	// p7ByHand is the name of the monitor that one would write.
	p7ByHand = "by-hand"
	// p7Interval is what Prometheus and prometheus-operator scrape by where nothing else is set; the cluster's Prometheus
	// scrapes more often, for quick tests.
	p7Interval = "30s"
	// The figures of a grouped ServiceMonitor of the plainest kind on such a cluster, which Namespace is to keep to.
	p7MemoryGoal, p7ConfigGoal, p7PoolsGoal = 156, 3304, 1
	// p7Limit bounds one kind of monitors; p7Look is how long Prometheus is looked at once every target is up.
	p7Limit = 10 * time.Minute
	p7Look  = 12
)

// p7Cost is what Prometheus needs for the Services.
type p7Cost struct {
	// memory is the resident memory of Prometheus in MB (10^6 bytes), the median of some scrapes.
	memory float64
	// config is the size of the configuration that prometheus-operator writes, in bytes.
	config float64
	pools  float64
	// duplicates are the targets beyond the one that each Service should have.
	duplicates float64
}

func measureP7(ctx context.Context, cluster *kit.Cluster, step progress) (figures []figure, err error) {
	made := namespaces(p7Namespace)
	defer func() { err = errors.Join(err, takeDown(ctx, p7Limit, cluster, made...)) }()
	if err := p7Given(ctx, cluster, made); err != nil {
		return nil, err
	}
	costs := map[string]p7Cost{}
	for _, side := range []struct {
		name string
		// monitors is how many there are in the end, and named what all of their names begin with.
		monitors int
		named    string
		begin    func(context.Context) error
	}{
		{"by hand", 1, p7ByHand, func(ctx context.Context) error { return cluster.Apply(ctx, naiveMonitor()) }},
		{"Namespace", 1, scrapeMonitor + "/", func(ctx context.Context) error {
			return errors.Join(cluster.Delete(ctx, naiveMonitor()),
				cluster.ApplyPipeline(ctx, p7Pipeline(v1alpha1.ScrapePerNamespace)))
		}},
		{"Service", p7Services, scrapeMonitor + "-", func(ctx context.Context) error {
			return cluster.ApplyPipeline(ctx, p7Pipeline(v1alpha1.ScrapePerService))
		}},
	} {
		cost, err := p7Measure(ctx, cluster, side.begin, func(config string) bool {
			job := "job_name: serviceMonitor/" + p7Namespace + "/"
			return strings.Count(config, job) == side.monitors && strings.Count(config, job+side.named) == side.monitors
		})
		if err != nil {
			return nil, fmt.Errorf("%s: %w", side.name, err)
		}
		step("  %-9s %.0f MB, %.0f bytes of configuration, %.0f scrape pools, %.0f duplicate targets",
			side.name+":", cost.memory, cost.config, cost.pools, cost.duplicates)
		costs[side.name] = cost
	}
	grouped, each, hand := costs["Namespace"], costs["Service"], costs["by hand"]
	return []figure{
		{name: "Namespace, memory of Prometheus", ours: grouped.memory, unit: "MB", goal: p7MemoryGoal},
		{name: "Namespace, configuration", ours: grouped.config, unit: "bytes", goal: p7ConfigGoal},
		{name: "Namespace, scrape pools", ours: grouped.pools, unit: "pools", goal: p7PoolsGoal},
		{name: "Namespace, duplicate targets", ours: grouped.duplicates, unit: "targets"},
		{name: "Service, duplicate targets", ours: each.duplicates, unit: "targets"},
		{name: "by hand, duplicate targets", ours: hand.duplicates, unit: "targets", free: true},
		{name: "memory of Prometheus, Namespace", against: "Service", ours: grouped.memory, theirs: each.memory, unit: "MB", free: true},
		{name: "memory of Prometheus, Namespace", against: "by hand", ours: grouped.memory, theirs: hand.memory, unit: "MB", free: true},
		{name: "configuration, Namespace", against: "Service", ours: grouped.config, theirs: each.config, unit: "bytes", free: true},
		{name: "configuration, Namespace", against: "by hand", ours: grouped.config, theirs: hand.config, unit: "bytes", free: true},
	}, nil
}

func p7Pipeline(granularity v1alpha1.ScrapeGranularity) *v1alpha1.MetricsPipeline {
	pipeline := scrapesEverything(granularity)
	pipeline.Spec.Scrape.Interval = p7Interval
	return pipeline
}

// p7Given installs the operator, and makes a pod and the Services that lead to it.
func p7Given(ctx context.Context, cluster *kit.Cluster, made []client.Object) error {
	ctx, cancel := context.WithTimeout(ctx, p7Limit)
	defer cancel()
	if err := installAlone(ctx, cluster); err != nil {
		return err
	}
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: p7Namespace, Name: p7Pod}, Spec: kit.SamplePod()}
	if err := cluster.Apply(ctx, append(made, pod)...); err != nil {
		return err
	}
	err := kit.Await(ctx, cluster, &corev1.PodList{}, client.ObjectKeyFromObject(pod), func(seen *corev1.Pod) bool {
		seen.DeepCopyInto(pod)
		return kit.PodReady(seen)
	})
	if err != nil {
		return fmt.Errorf("wait for the scraped pod: %w", err)
	}
	return kit.InParallel(ctx, p7Services, func(ctx context.Context, i int) error {
		service := scrapedService(i)
		if _, err := cluster.Kube.CoreV1().Services(p7Namespace).Create(ctx, service, metav1.CreateOptions{}); err != nil {
			return err
		}
		_, err := cluster.Kube.DiscoveryV1().EndpointSlices(p7Namespace).Create(ctx, sliceTo(service, pod), metav1.CreateOptions{})
		return err
	})
}

// scrapedService selects no pod, so that its only endpoint is that of [sliceTo].
func scrapedService(i int) *corev1.Service {
	service := annotatedService(p7Namespace, fmt.Sprintf("app-%04d", i))
	if i%10 == 0 {
		service.Spec.Ports = append(service.Spec.Ports, corev1.ServicePort{Name: "admin", Port: 8081})
	}
	return service
}

// sliceTo leads a Service to a pod.
func sliceTo(service *corev1.Service, pod *corev1.Pod) *discoveryv1.EndpointSlice {
	slice := &discoveryv1.EndpointSlice{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: service.Namespace, Name: service.Name + "-by-hand",
			Labels: map[string]string{discoveryv1.LabelServiceName: service.Name, discoveryv1.LabelManagedBy: "bench"},
		},
		AddressType: discoveryv1.AddressTypeIPv4,
		Endpoints: []discoveryv1.Endpoint{{
			Addresses:  []string{pod.Status.PodIP},
			Conditions: discoveryv1.EndpointConditions{Ready: ptr.To(true)},
			TargetRef:  &corev1.ObjectReference{Kind: "Pod", Namespace: pod.Namespace, Name: pod.Name, UID: pod.UID},
		}},
	}
	for _, port := range service.Spec.Ports {
		slice.Ports = append(slice.Ports, discoveryv1.EndpointPort{
			Name: ptr.To(port.Name), Port: ptr.To(port.Port), Protocol: ptr.To(corev1.ProtocolTCP)})
	}
	return slice
}

// p7Measure begins one kind of monitors, waits until the configuration has them and no others, and starts Prometheus anew, so
// that it remembers nothing of another kind.
func p7Measure(
	ctx context.Context, cluster *kit.Cluster, begin func(context.Context) error, complete func(config string) bool,
) (cost p7Cost, err error) {
	ctx, cancel := context.WithTimeout(ctx, p7Limit)
	defer cancel()
	if err := begin(ctx); err != nil {
		return cost, err
	}
	err = kit.Poll(ctx, func(ctx context.Context) (bool, error) {
		config, err := cluster.PrometheusConfig(ctx)
		cost.config = float64(len(config))
		return complete(string(config)), err
	})
	if err != nil {
		return cost, fmt.Errorf("wait for the monitors in the configuration of Prometheus: %w", err)
	}
	if err := cluster.RestartPrometheus(ctx); err != nil {
		return cost, err
	}
	var memory []float64
	err = kit.Poll(ctx, func(ctx context.Context) (bool, error) {
		targets, err := p7Targets(ctx, cluster)
		if err != nil || len(targets.services) < p7Services || targets.up < targets.all {
			return false, nil //nolint:nilerr // it is starting
		}
		cost.pools, cost.duplicates = float64(targets.pools), float64(targets.all-p7Services)
		return true, nil
	})
	if err != nil {
		return cost, fmt.Errorf("wait for %d targets after the restart: %w", p7Services, err)
	}
	// One sample for each scrape that Prometheus makes of itself.
	for range p7Look {
		bytes, err := cluster.PrometheusMetric(ctx, "process_resident_memory_bytes")
		if err != nil {
			return cost, err
		}
		memory = append(memory, bytes/1e6)
		select {
		case <-time.After(5 * time.Second):
		case <-ctx.Done():
			return cost, ctx.Err()
		}
	}
	cost.memory = median(memory)
	return cost, nil
}

// p7Seen are the targets of the bench's namespace.
type p7Seen struct {
	all, up, pools int
	services       map[string]bool
}

func p7Targets(ctx context.Context, cluster *kit.Cluster) (seen p7Seen, err error) {
	targets, err := cluster.Targets(ctx)
	pools := map[string]bool{}
	seen.services = map[string]bool{}
	for _, target := range targets {
		if target.Labels["namespace"] != p7Namespace {
			continue
		}
		seen.all++
		seen.services[target.Labels["service"]] = true
		pools[target.Pool] = true
		if target.Health == "up" {
			seen.up++
		}
	}
	seen.pools = len(pools)
	return seen, err
}

// naiveMonitor is the grouped ServiceMonitor that one finds in answers to the question how to scrape annotated Services with
// prometheus-operator.
func naiveMonitor() *monitoringv1.ServiceMonitor {
	const annotation = "__meta_kubernetes_service_annotation_prometheus_io_"
	relabelings := []monitoringv1.RelabelConfig{
		{SourceLabels: []monitoringv1.LabelName{annotation + "scrape"}, Action: "keep", Regex: "true"},
		{SourceLabels: []monitoringv1.LabelName{annotation + "path"}, Action: "replace", Regex: "(.+)", TargetLabel: "__metrics_path__"},
		{
			SourceLabels: []monitoringv1.LabelName{"__address__", annotation + "port"}, Action: "replace",
			Regex: `([^:]+)(?::\d+)?;(\d+)`, Replacement: ptr.To("$1:$2"), TargetLabel: "__address__",
		},
	}
	return &monitoringv1.ServiceMonitor{
		ObjectMeta: metav1.ObjectMeta{Namespace: p7Namespace, Name: p7ByHand, Labels: map[string]string{"prometheus": "k8s"}},
		Spec: monitoringv1.ServiceMonitorSpec{
			Endpoints: []monitoringv1.Endpoint{{Interval: p7Interval, RelabelConfigs: relabelings}}},
	}
}
