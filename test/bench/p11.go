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
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v1alpha1 "github.com/metricspipeline/operator/api/v1alpha1"
	"github.com/metricspipeline/operator/test/e2e/kit"
	"github.com/metricspipeline/operator/test/e2e/puppets"
)

// p11 is how old the values are by which very many HPAs scale on a metric of pods. Each value is the time of its own sample, so that
// the age needs no clock but one.
var p11 = row{
	name: "P11",
	about: "300 HPAs with a metric of Pods: the age of their values, with prometheus-adapter's flags of this operator, of its own " +
		"project, and with a longer and no memory of authorizations",
	measure: measureP11,
}

const (
	p11Scalers = 300
	p11Goal    = 0.6
	// p11Warm is how long the HPA controller has before it is looked at, four of its rounds, and p11Looks are looks a second apart.
	p11Warm  = time.Minute
	p11Looks = 120
	p11Limit = 15 * time.Minute
)

// p11Sides are the adapter's flags, beside those that the operator sets.
var p11Sides = []struct {
	name string
	args []string
}{
	{"this operator", nil},
	// prometheus-adapter's manifests set neither, so that the defaults of client-go apply.
	{"upstream's flags", []string{"--client-qps=5", "--client-burst=10"}},
	// The default is 10s. An HPA controller comes back after 15s by default, and after 5s in the test cluster.
	{"rights remembered for 5m", []string{"--authorization-webhook-cache-authorized-ttl=5m"}},
	{"no right remembered", []string{"--authorization-webhook-cache-authorized-ttl=1ms"}},
}

func measureP11(ctx context.Context, cluster *kit.Cluster, step progress) (figures []figure, err error) {
	fleet := puppets.New(cluster, p11Scalers, 1)
	defer func() { err = errors.Join(err, takeDownPuppets(ctx, p11Limit, cluster, fleet)) }()
	if err := installAlone(ctx, cluster); err != nil {
		return nil, err
	}
	if err := fleet.Begin(ctx); err != nil {
		return nil, err
	}
	ages := map[string]p11Ages{}
	for _, side := range p11Sides {
		if ages[side.name], err = p11Measure(ctx, cluster, fleet, side.args); err != nil {
			return nil, fmt.Errorf("%s: %w", side.name, err)
		}
		step("  %-25s age of a value: median %.1f s, p99 %.1f s, most %.1f s", side.name+":",
			ages[side.name].median, ages[side.name].p99, ages[side.name].most)
	}
	ours := ages[p11Sides[0].name]
	for i, side := range p11Sides[1:] {
		theirs := ages[side.name]
		figures = append(figures,
			figure{name: "p99 age of an HPA's value", against: side.name, ours: ours.p99, theirs: theirs.p99, unit: "s",
				goal: p11Goal, free: i > 0},
			figure{name: "median age of an HPA's value", against: side.name, ours: ours.median, theirs: theirs.median, unit: "s",
				free: true})
	}
	return figures, nil
}

// p11Ages are of all values in all looks, in seconds.
type p11Ages struct{ median, p99, most float64 }

func p11Measure(ctx context.Context, cluster *kit.Cluster, fleet *puppets.Fleet, args []string) (ages p11Ages, err error) {
	ctx, cancel := context.WithTimeout(ctx, p11Limit)
	defer cancel()
	if err := cluster.ApplyPipeline(ctx, servesPuppets(args)); err != nil {
		return ages, err
	}
	applied := func(pipeline *v1alpha1.MetricsPipeline) bool {
		return pipeline.Status.ObservedGeneration == pipeline.Generation && kit.IsReady(pipeline)
	}
	if err := kit.Await(ctx, cluster, &v1alpha1.MetricsPipelineList{}, pipelineKey, applied); err != nil {
		return ages, err
	}
	if err := kit.Poll(ctx, func(ctx context.Context) (bool, error) {
		values, err := p11Values(ctx, cluster, fleet)
		return len(values) == p11Scalers, err
	}); err != nil {
		return ages, fmt.Errorf("wait for the value of each HPA: %w", err)
	}
	if err := sleep(ctx, p11Warm); err != nil {
		return ages, err
	}
	var all []float64
	for range p11Looks {
		values, err := p11Values(ctx, cluster, fleet)
		if err != nil {
			return ages, err
		}
		now := float64(time.Now().UnixMilli()) / 1000
		for _, value := range values {
			all = append(all, now-value)
		}
		if err := sleep(ctx, time.Second); err != nil {
			return ages, err
		}
	}
	slices.Sort(all)
	at := func(part float64) float64 { return all[int(part*float64(len(all)-1))] }
	return p11Ages{at(0.5), at(0.99), at(1)}, nil
}

// p11Values are what the HPAs scale by at present. One that has lost its metric keeps the last value in its status.
func p11Values(ctx context.Context, cluster *kit.Cluster, fleet *puppets.Fleet) ([]float64, error) {
	scalers := &autoscalingv2.HorizontalPodAutoscalerList{}
	if err := cluster.Client.List(ctx, scalers, client.InNamespace(fleet.Key(0).Namespace)); err != nil {
		return nil, err
	}
	var values []float64
	for _, scaler := range scalers.Items {
		for _, metric := range scaler.Status.CurrentMetrics {
			if metric.Pods != nil && metric.Pods.Current.AverageValue != nil {
				values = append(values, metric.Pods.Current.AverageValue.AsApproximateFloat64())
			}
		}
	}
	return values, nil
}

// servesPuppets is a pipeline that serves the metric of puppets, with arguments for the adapter, and nothing else.
func servesPuppets(args []string) *v1alpha1.MetricsPipeline {
	pipeline := &v1alpha1.MetricsPipeline{ObjectMeta: metav1.ObjectMeta{Name: v1alpha1.SingletonName}}
	pipeline.Spec.ResourceMetrics.Policy = v1alpha1.PolicyDisabled
	pipeline.Spec.PrometheusAdapter.ExtraArgs = args
	pipeline.Spec.CustomMetrics.Rules = []v1alpha1.CustomMetricRule{puppets.Rule()}
	return pipeline
}

// takeDownPuppets removes puppets, and then what every row takes down, also where the row was canceled.
func takeDownPuppets(ctx context.Context, limit time.Duration, cluster *kit.Cluster, fleet *puppets.Fleet) error {
	removing, cancel := context.WithTimeout(context.WithoutCancel(ctx), limit)
	defer cancel()
	return errors.Join(fleet.Remove(removing), takeDown(ctx, limit, cluster))
}

// sleep waits, or ends with the context.
func sleep(ctx context.Context, wait time.Duration) error {
	select {
	case <-time.After(wait):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
