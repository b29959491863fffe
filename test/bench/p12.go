// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v1alpha1 "github.com/metricspipeline/operator/api/v1alpha1"
	"github.com/metricspipeline/operator/test/e2e/kit"
)

// p12 is what HPAs that work cost, what HPAs that fail cost Prometheus, and how soon it is said why.
var p12 = row{
	name: "P12",
	about: "1,000 HPAs: the requests of an idle operator while all of them work; how soon it is said why 50 of them fail; and what " +
		"Prometheus is asked while 500 fail",
	measure: measureP12,
}

const (
	p12Scalers, p12Some, p12Many = 1000, 50, 500
	// p12Typo is a metric that no rule makes.
	p12Typo = puppetMetric + "_typo"
	// p12SaidGoal is in seconds, p12AskedGoal in queries a second, p12IdleGoal in requests a minute: those for the leader's lease.
	p12SaidGoal, p12AskedGoal, p12IdleGoal = 60, 1, 40
	p12Calm                                = 3 * time.Minute
	p12Limit                               = 15 * time.Minute
)

func measureP12(ctx context.Context, cluster *kit.Cluster, step progress) (figures []figure, err error) {
	fleet := newPuppets(cluster, p12Scalers)
	defer func() { err = errors.Join(err, fleet.takeDown(ctx, p12Limit)) }()
	if err := installAlone(ctx, cluster); err != nil {
		return nil, err
	}
	if err := cluster.ApplyPipeline(ctx, fleet.pipeline(nil)); err != nil {
		return nil, err
	}
	if err := fleet.begin(ctx); err != nil {
		return nil, err
	}
	allWork := func(s *v1alpha1.AutoscalersStatus) bool { return s.Total == p12Scalers && s.Working == s.Total }
	if err := p12Await(ctx, cluster, allWork); err != nil {
		return nil, fmt.Errorf("wait until all HPAs work: %w", err)
	}
	idle, err := p12Rate(ctx, cluster, step, p12Requests)
	if err != nil {
		return nil, err
	}
	step("  %d HPAs work: the operator sends %.1f requests a minute", p12Scalers, 60*idle)

	said, err := p12Break(ctx, cluster, 0, p12Some)
	if err != nil {
		return nil, err
	}
	p99 := said[len(said)*99/100]
	step("  %d of them fail: said after %.1f s in the median, p99 %.1f s", p12Some, said[len(said)/2], p99)

	before, err := p12Rate(ctx, cluster, step, p12Queries)
	if err != nil {
		return nil, err
	}
	if err := p12Spoil(ctx, cluster, p12Some, p12Many); err != nil {
		return nil, err
	}
	asked, err := p12Rate(ctx, cluster, step, p12Queries)
	if err != nil {
		return nil, err
	}
	return []figure{
		{name: "requests of an idle operator with 1,000 HPAs that work", ours: 60 * idle, unit: "a minute", goal: p12IdleGoal},
		{name: "until it is said why an HPA fails, p99 of 50", ours: p99, unit: "s", goal: p12SaidGoal},
		{name: "what Prometheus is asked while 50 HPAs fail", ours: before, unit: "queries/s", goal: p12AskedGoal},
		{name: "what Prometheus is asked while 500 HPAs fail", ours: asked, unit: "queries/s", goal: p12AskedGoal},
	}, nil
}

// p12Await waits until the status says something of the HPAs.
func p12Await(ctx context.Context, cluster *kit.Cluster, done func(*v1alpha1.AutoscalersStatus) bool) error {
	ctx, cancel := context.WithTimeout(ctx, p12Limit)
	defer cancel()
	return kit.Await(ctx, cluster, &v1alpha1.MetricsPipelineList{}, pipelineKey, func(pipeline *v1alpha1.MetricsPipeline) bool {
		return pipeline.Status.Autoscalers != nil && done(pipeline.Status.Autoscalers)
	})
}

// The counters of a rate: what the operator sent to the API server, and the queries that Prometheus answered. Nobody but the operator
// queries it meanwhile: the adapter has no rule for the metric that fails.
const (
	p12Requests = `sum(rest_client_requests_total{job="metricspipeline-operator-metrics"})`
	p12Queries  = `sum(prometheus_http_requests_total{handler=~"/api/v1/query|/api/v1/query_range"})`
)

// p12Rate is how much a counter grows each second, over some minutes.
func p12Rate(ctx context.Context, cluster *kit.Cluster, step progress, counter string) (float64, error) {
	read := func() (float64, error) {
		value, found, err := cluster.Query(ctx, counter)
		if err == nil && !found {
			err = fmt.Errorf("no %s in Prometheus", counter)
		}
		return value, err
	}
	if err := sleep(ctx, p12Calm); err != nil { // What came before has settled.
		return 0, err
	}
	first, err := read()
	if err != nil {
		return 0, err
	}
	if err := sleep(ctx, p12Calm); err != nil {
		return 0, err
	}
	last, err := read()
	step("  %s: %.0f in %s", counter, last-first, p12Calm)
	return (last - first) / p12Calm.Seconds(), err
}

// p12Spoil has HPAs read a metric that does not exist.
func p12Spoil(ctx context.Context, cluster *kit.Cluster, from, to int) error {
	patch := fmt.Appendf(nil, `[{"op": "replace", "path": "/spec/metrics/0/pods/metric/name", "value": %q}]`, p12Typo)
	return inParallel(ctx, to-from, func(ctx context.Context, i int) error {
		scaler := &autoscalingv2.HorizontalPodAutoscaler{}
		scaler.Namespace, scaler.Name = puppetNamespace, puppet(from+i)
		return cluster.Client.Patch(ctx, scaler, client.RawPatch(types.JSONPatchType, patch))
	})
}

// p12Break spoils HPAs and returns, in order, how many seconds after the HPA controller had found each to fail an Event said why.
func p12Break(ctx context.Context, cluster *kit.Cluster, from, to int) (said []float64, err error) {
	if err := p12Spoil(ctx, cluster, from, to); err != nil {
		return nil, err
	}
	err = kit.Poll(ctx, func(ctx context.Context) (bool, error) {
		said = nil
		scalers, events := &autoscalingv2.HorizontalPodAutoscalerList{}, &corev1.EventList{}
		err := errors.Join(cluster.Client.List(ctx, scalers, client.InNamespace(puppetNamespace)), cluster.Client.List(ctx, events,
			client.InNamespace(puppetNamespace), client.MatchingFields{"involvedObject.kind": "HorizontalPodAutoscaler",
				"reason": v1alpha1.AutoscalerRuleMissing}))
		failed := map[string]time.Time{}
		for _, scaler := range scalers.Items {
			for _, condition := range scaler.Status.Conditions {
				if condition.Type == autoscalingv2.ScalingActive && condition.Status == corev1.ConditionFalse {
					failed[scaler.Name] = condition.LastTransitionTime.Time
				}
			}
		}
		for _, event := range events.Items {
			if since, is := failed[event.InvolvedObject.Name]; is {
				said = append(said, event.CreationTimestamp.Sub(since).Seconds())
				delete(failed, event.InvolvedObject.Name)
			}
		}
		return len(said) >= to-from, err
	})
	slices.Sort(said)
	return said, err
}
