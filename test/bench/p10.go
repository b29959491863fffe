// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	monitoringv1 "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v1alpha1 "github.com/metricspipeline/operator/api/v1alpha1"
	"github.com/metricspipeline/operator/test/e2e/kit"
)

// p10 is what very many namespaces cost that come within a minute, each with one app, and whether the rest goes on meanwhile: a
// component's drift is repaired, and every namespace has its monitor soon.
var p10 = row{
	name: "P10",
	about: "1,000 namespaces, each with one app, that come within a minute: writes, memory, how long until each has its monitor, and how " +
		"long a component's drift lasts meanwhile, against the same at rest",
	measure: measureP10,
}

const (
	p10Many      = 1_000
	p10Within    = time.Minute
	p10WriteGoal = 1.1
	// p10Drifts is how often a component is changed, in either case.
	p10Drifts = 9
	p10Limit  = 15 * time.Minute
)

func measureP10(ctx context.Context, cluster *kit.Cluster, step progress) (figures []figure, err error) {
	var made []client.Object
	for i := range p10Many {
		made = append(made, kit.Namespace(p10Namespace(i)))
	}
	defer func() { err = errors.Join(err, takeDown(ctx, p10Limit, cluster, made...)) }()
	ctx, cancel := context.WithTimeout(ctx, p10Limit)
	defer cancel()
	if err := installAlone(ctx, cluster); err != nil {
		return nil, err
	}
	if err := cluster.ApplyPipeline(ctx, scrapesEverything(v1alpha1.ScrapePerNamespace)); err != nil {
		return nil, err
	}
	if err := kit.Await(ctx, cluster, &v1alpha1.MetricsPipelineList{}, pipelineKey, kit.IsReady); err != nil {
		return nil, err
	}
	rest, err := p10Repairs(ctx, cluster)
	if err != nil {
		return nil, err
	}
	before, err := writes(ctx, cluster)
	if err != nil {
		return nil, err
	}
	wave, err := p10Wave(ctx, cluster, step)
	if err != nil {
		return nil, err
	}
	after, err := writes(ctx, cluster)
	if err != nil {
		return nil, err
	}
	monitors := after["servicemonitors"] - before["servicemonitors"]
	status := after["metricspipelines"] - before["metricspipelines"]
	return []figure{
		{name: "writes of monitors for each namespace", ours: monitors / p10Many, unit: "writes", goal: p10WriteGoal},
		{name: "writes of the status in all", ours: status, unit: "writes", free: true},
		{name: "the last namespace to its monitor", ours: wave.last.Seconds(), unit: "s", free: true},
		{name: "a component's drift meanwhile, median", against: "at rest", ours: median(wave.repairs), theirs: median(rest), unit: "ms",
			free: true},
		{name: "most memory", ours: wave.most, unit: "MiB", free: true},
	}, nil
}

func p10Namespace(i int) string { return fmt.Sprintf("bench-wave-%04d", i) }

// p10Result is what was seen while the namespaces came.
type p10Result struct {
	// last is how long after the last app every namespace had its monitor; repairs are how long drift lasted, in milliseconds.
	last    time.Duration
	repairs []float64
	most    float64
}

func p10Wave(ctx context.Context, cluster *kit.Cluster, step progress) (result p10Result, err error) {
	pods, err := operatorPods(ctx, cluster)
	if err != nil || len(pods) != 1 {
		return result, errors.Join(err, fmt.Errorf("the operator has %d pods", len(pods)))
	}
	start := time.Now()
	failed := make(chan error, 1)
	go func() {
		pace := time.NewTicker(p10Within / p10Many)
		defer pace.Stop()
		failed <- kit.InParallel(ctx, p10Many, func(ctx context.Context, i int) error {
			select {
			case <-pace.C:
			case <-ctx.Done():
				return ctx.Err()
			}
			if err := cluster.Client.Create(ctx, kit.Namespace(p10Namespace(i))); err != nil {
				return err
			}
			app := annotatedService(p10Namespace(i), "app")
			_, err := cluster.Kube.CoreV1().Services(app.Namespace).Create(ctx, app, metav1.CreateOptions{})
			return err
		})
	}()
	if result.repairs, err = p10Repairs(ctx, cluster); err != nil {
		return result, err
	}
	if err := <-failed; err != nil {
		return result, err
	}
	made := time.Now()
	err = kit.Poll(ctx, func(ctx context.Context) (bool, error) {
		list := &metav1.PartialObjectMetadataList{}
		list.SetGroupVersionKind(monitoringv1.SchemeGroupVersion.WithKind(monitoringv1.ServiceMonitorsKind + "List"))
		err := cluster.Client.List(ctx, list, client.MatchingLabels{v1alpha1.ComponentLabel: "scrape"})
		return len(list.Items) >= p10Many, err
	})
	result.last = time.Since(made)
	if err != nil {
		return result, fmt.Errorf("wait for the monitors: %w", err)
	}
	_, result.most, err = resident(&pods[0])
	step("  %d namespaces in %.0f s; the last had its monitor %.1f s later; memory at most %.1f MiB", p10Many, made.Sub(start).Seconds(),
		result.last.Seconds(), result.most)
	return result, err
}

// p10Repairs changes a label of one of the operator's Services again and again, and returns how long each took to be put back, in
// milliseconds.
func p10Repairs(ctx context.Context, cluster *kit.Cluster) ([]float64, error) {
	key := client.ObjectKey{Namespace: kit.OperatorNamespace, Name: drifted}
	var repairs []float64
	for range p10Drifts {
		changed := &corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: key.Namespace, Name: key.Name}}
		// Another writer each time: the same one again and again would be a contest.
		name := fmt.Sprintf("bench-%d", time.Now().UnixNano())
		patch := client.RawPatch(types.MergePatchType, fmt.Appendf(nil, `{"metadata": {"labels": {%q: %q}}}`, driftedLabel, name))
		if err := cluster.Client.Patch(ctx, changed, patch, client.FieldOwner(name)); err != nil {
			return nil, err
		}
		start := time.Now()
		repaired := func(service *corev1.Service) bool { return service.Labels[driftedLabel] != name }
		if err := kit.Await(ctx, cluster, &corev1.ServiceList{}, key, repaired); err != nil {
			return nil, err
		}
		repairs = append(repairs, float64(time.Since(start).Microseconds())/1000)
		select {
		case <-time.After(p10Within / p10Drifts):
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	return repairs, nil
}
