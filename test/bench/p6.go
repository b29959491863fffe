// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	monitoringv1 "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/apimachinery/pkg/watch"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v1alpha1 "github.com/metricspipeline/operator/api/v1alpha1"
	"github.com/metricspipeline/operator/test/e2e/kit"
)

// p6 is what a new annotated app costs. Its lag is taken where a user sees it: the first app of a namespace, made after
// thousands of others, has its monitor.
var p6 = row{
	name: "P6",
	about: "writes for each new annotated Service, and how long after 10,000 of them, made at full speed, the next one's " +
		"monitor is there: the operator against a bare watcher of metadata that writes the same object",
	measure: measureP6,
	floor:   floorP6,
}

const (
	p6Runs    = 5
	p6Many    = 10_000
	p6LagGoal = 1.2
	p6Busy    = "bench-busy"
	// p6Limit bounds one run.
	p6Limit = 5 * time.Minute
)

// scrapeMonitor is the name that the operator gives to a namespace's monitors.
const scrapeMonitor = "metricspipeline-annotated"

// p6Monitors are the kinds whose writes are counted as those for apps.
var p6Monitors = []string{"servicemonitors", "podmonitors"}

func measureP6(ctx context.Context, cluster *kit.Cluster, step progress) (figures []figure, err error) {
	made := namespaces(p6Busy)
	for i := range p6Runs {
		made = append(made, kit.Namespace(p6Last(i)))
	}
	defer func() {
		// More than fifty thousand Services have to go.
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 4*p6Limit)
		defer cancel()
		err = errors.Join(err, cluster.DeletePipeline(ctx), cluster.UninstallOperator(ctx), cluster.Delete(ctx, made...))
	}()
	monitor, err := p6Given(ctx, cluster, made)
	if err != nil {
		return nil, err
	}
	pods, err := operatorPods(ctx, cluster)
	if err != nil || len(pods) == 0 {
		return nil, errors.Join(err, errors.New("the operator has no pod"))
	}
	floor, err := startFloor(ctx, cluster, "P6", monitor.Object, &pods[0])
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, floor.stop()) }()

	var ours, theirs []float64
	var monitorWrites, statusWrites float64
	for i := range p6Runs {
		run, err := p6Run(ctx, cluster, i)
		if err != nil {
			return nil, fmt.Errorf("run %d: %w", i+1, err)
		}
		step("  run %d of %d: %d Services in %.1f s, %.0f writes of monitors, %.0f of the status; lag %.0f ms, bare watcher %.0f ms",
			i+1, p6Runs, p6Many, run.took.Seconds(), run.monitorWrites, run.statusWrites, run.ours, run.theirs)
		ours, theirs = append(ours, run.ours), append(theirs, run.theirs)
		monitorWrites += run.monitorWrites
		statusWrites += run.statusWrites
	}
	listed, err := p6Listed(ctx, cluster)
	if err != nil {
		return nil, err
	}
	return []figure{
		{name: "writes of monitors for each new Service", ours: monitorWrites / (p6Runs * p6Many), unit: "writes"},
		{name: "the same for those whose port relabeling cannot see", ours: listed, unit: "writes", free: true},
		{name: "writes of the status for each new Service", ours: statusWrites / (p6Runs * p6Many), unit: "writes", free: true},
		{
			name: fmt.Sprintf("lag after %d Services, median of %d", p6Many, p6Runs), against: "bare watcher",
			ours: median(ours), theirs: median(theirs), unit: "ms", goal: p6LagGoal,
		},
	}, nil
}

func p6Last(run int) string { return fmt.Sprintf("bench-last-%d", run) }

// p6Given installs the operator, makes the first Service of the namespace that the others will be in, and returns the
// monitor that it gets, as the bare watcher is to write it.
func p6Given(ctx context.Context, cluster *kit.Cluster, made []client.Object) (*unstructured.Unstructured, error) {
	ctx, cancel := context.WithTimeout(ctx, p6Limit)
	defer cancel()
	if err := installAlone(ctx, cluster); err != nil {
		return nil, err
	}
	if err := cluster.ApplyPipeline(ctx, scrapesEverything(v1alpha1.ScrapePerNamespace)); err != nil {
		return nil, err
	}
	if err := cluster.Apply(ctx, append(slices.Clone(made), annotatedService(p6Busy, "first"))...); err != nil {
		return nil, err
	}
	pipeline := client.ObjectKey{Name: v1alpha1.SingletonName}
	if err := kit.Await(ctx, cluster, &v1alpha1.MetricsPipelineList{}, pipeline, kit.IsReady); err != nil {
		return nil, err
	}
	monitor := &unstructured.Unstructured{}
	monitor.SetGroupVersionKind(monitoringv1.SchemeGroupVersion.WithKind(monitoringv1.ServiceMonitorsKind))
	key := client.ObjectKey{Namespace: p6Busy, Name: scrapeMonitor}
	exists := func(*monitoringv1.ServiceMonitor) bool { return true }
	err := kit.Await(ctx, cluster, &monitoringv1.ServiceMonitorList{}, key, exists)
	if err != nil {
		return nil, err
	}
	if err := cluster.Client.Get(ctx, key, monitor); err != nil {
		return nil, err
	}
	// Without labels, neither Prometheus nor the operator minds it.
	monitor.Object["metadata"] = map[string]any{"name": floorName}
	return monitor, nil
}

// p6Result is one run.
type p6Result struct {
	// took is the time for all Services but the last.
	took time.Duration
	// ours and theirs are how long after the last Service its monitors were there, in milliseconds.
	ours, theirs                float64
	monitorWrites, statusWrites float64
}

func p6Run(ctx context.Context, cluster *kit.Cluster, run int) (result p6Result, err error) {
	ctx, cancel := context.WithTimeout(ctx, p6Limit)
	defer cancel()
	namespace := p6Last(run)
	oursSeen, err := firstSeen(ctx, cluster, client.ObjectKey{Namespace: namespace, Name: scrapeMonitor})
	if err != nil {
		return result, err
	}
	theirsSeen, err := firstSeen(ctx, cluster, client.ObjectKey{Namespace: namespace, Name: floorName})
	if err != nil {
		return result, err
	}
	before, err := writes(ctx, cluster)
	if err != nil {
		return result, err
	}
	result.took, err = create(ctx, cluster, p6Many, func(i int) *corev1.Service {
		return annotatedService(p6Busy, fmt.Sprintf("app-%d-%05d", run, i))
	})
	if err != nil {
		return result, err
	}
	// The next one, in a namespace that has no monitor yet.
	last := annotatedService(namespace, lastService)
	if _, err := cluster.Kube.CoreV1().Services(namespace).Create(ctx, last, metav1.CreateOptions{}); err != nil {
		return result, err
	}
	created := time.Now()
	for _, seen := range []struct {
		by   <-chan time.Time
		into *float64
	}{{oursSeen, &result.ours}, {theirsSeen, &result.theirs}} {
		select {
		case at := <-seen.by:
			*seen.into = float64(at.Sub(created).Microseconds()) / 1000
		case <-ctx.Done():
			return result, fmt.Errorf("wait for the monitors of the last Service: %w", ctx.Err())
		}
	}
	if err := counted(ctx, cluster, (run+1)*p6Many); err != nil {
		return result, err
	}
	after, err := writes(ctx, cluster)
	if err != nil {
		return result, err
	}
	for _, resource := range p6Monitors {
		result.monitorWrites += after[resource] - before[resource]
	}
	result.monitorWrites -= 2 // The last Service's, ours and the bare watcher's.
	result.statusWrites = after["metricspipelines"] - before["metricspipelines"]
	return result, nil
}

// p6Listed makes Services whose annotation gives a port that the Service does not lead to by its number: those are written
// into the monitor. It returns the writes for each.
func p6Listed(ctx context.Context, cluster *kit.Cluster) (float64, error) {
	const many = 1_000
	ctx, cancel := context.WithTimeout(ctx, p6Limit)
	defer cancel()
	before, err := writes(ctx, cluster)
	if err != nil {
		return 0, err
	}
	_, err = create(ctx, cluster, many, func(i int) *corev1.Service {
		service := annotatedService(p6Busy, fmt.Sprintf("listed-%04d", i))
		service.Spec.Ports[0].TargetPort = intstr.FromString("http")
		return service
	})
	if err != nil {
		return 0, err
	}
	// The last of them is in the monitor.
	key := client.ObjectKey{Namespace: p6Busy, Name: scrapeMonitor}
	err = kit.Await(ctx, cluster, &monitoringv1.ServiceMonitorList{}, key, func(monitor *monitoringv1.ServiceMonitor) bool {
		return strings.Contains(fmt.Sprint(monitor.Spec.Endpoints), fmt.Sprintf("listed-%04d", many-1))
	})
	if err != nil {
		return 0, err
	}
	after, err := writes(ctx, cluster)
	return (after["servicemonitors"] - before["servicemonitors"]) / many, err
}

// firstSeen watches for a ServiceMonitor, and gives the time at which it is there.
func firstSeen(ctx context.Context, cluster *kit.Cluster, key client.ObjectKey) (<-chan time.Time, error) {
	events, err := cluster.Watch(ctx, &monitoringv1.ServiceMonitorList{}, key)
	if err != nil {
		return nil, err
	}
	seen := make(chan time.Time, 1)
	go func() {
		defer events.Stop()
		for event := range events.ResultChan() {
			if event.Type == watch.Added {
				seen <- time.Now()
				return
			}
		}
	}()
	return seen, nil
}

// writes reads from the API server how many writes it has done, by resource.
func writes(ctx context.Context, cluster *kit.Cluster) (map[string]float64, error) {
	answer, err := cluster.Get(ctx, "/metrics")
	if err != nil {
		return nil, err
	}
	parser := expfmt.NewTextParser(model.LegacyValidation)
	families, err := parser.TextToMetricFamilies(bytes.NewReader(answer))
	if err != nil {
		return nil, fmt.Errorf("read the API server's metrics: %w", err)
	}
	requests := families["apiserver_request_total"]
	if requests == nil {
		return nil, errors.New("the API server has no metric apiserver_request_total")
	}
	found := map[string]float64{}
	for _, metric := range requests.GetMetric() {
		labels := map[string]string{}
		for _, label := range metric.GetLabel() {
			labels[label.GetName()] = label.GetValue()
		}
		if slices.Contains([]string{"POST", "PUT", "PATCH", "APPLY", "DELETE"}, labels["verb"]) {
			found[labels["resource"]] += metric.GetCounter().GetValue()
		}
	}
	return found, nil
}
