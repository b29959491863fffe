// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	apiregv1 "k8s.io/kube-aggregator/pkg/apis/apiregistration/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/metricspipeline/operator/test/e2e/kit"
)

// p2 is the time until kubectl top works. The floor for both is metrics-server's second scrape, one metricResolution
// after its start; what is above it is waiting for nothing.
var p2 = row{
	name:    "P2",
	about:   "kubectl apply until v1beta1.metrics.k8s.io is Available: `spec: {}` against metrics-server's own manifests",
	measure: measureP2,
}

const (
	p2Runs = 3
	p2Goal = 0.8
	// p2Limit bounds one run.
	p2Limit = 3 * time.Minute
)

func measureP2(ctx context.Context, cluster *kit.Cluster, step progress) (figures []figure, err error) {
	theirs, err := cluster.Upstream(ctx)
	if err != nil {
		return nil, err
	}
	if err := sameResolution(theirs.Objects); err != nil {
		return nil, errors.Join(err, theirs.Close())
	}
	pipeline := filepath.Join(cluster.Root, kit.SamplePlain)
	clean := func(ctx context.Context) error {
		if err := cluster.DeletePipeline(ctx); err != nil {
			return err
		}
		return theirs.Remove(ctx)
	}
	defer func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), p2Limit)
		defer cancel()
		err = errors.Join(err, clean(ctx), cluster.UninstallOperator(ctx), theirs.Close())
	}()

	if err := installAlone(ctx, cluster); err != nil {
		return nil, err
	}
	// In turns, so that what else the machine does meets both alike.
	var ourTimes, theirTimes []float64
	for i := range p2Runs {
		for _, side := range []struct {
			name, file string
			times      *[]float64
		}{{"upstream", theirs.File, &theirTimes}, {"ours", pipeline, &ourTimes}} {
			if err := clean(ctx); err != nil {
				return nil, err
			}
			took, err := timeToAvailable(ctx, cluster, side.file)
			if err != nil {
				return nil, fmt.Errorf("%s, run %d: %w", side.name, i+1, err)
			}
			step("  run %d of %d: %-8s %.1f s", i+1, p2Runs, side.name, took.Seconds())
			*side.times = append(*side.times, took.Seconds())
		}
	}
	return []figure{{
		name:    "apply to Available, median of 3",
		against: "upstream manifests",
		ours:    median(ourTimes), theirs: median(theirTimes), unit: "s",
		goal: p2Goal,
	}}, nil
}

// timeToAvailable applies a file with kubectl, and returns how long after the start of that the API is Available. The
// watch is open before, so that the time is when the API server says so.
func timeToAvailable(ctx context.Context, cluster *kit.Cluster, file string) (time.Duration, error) {
	ctx, cancel := context.WithTimeout(ctx, p2Limit)
	defer cancel()
	events, err := cluster.Watch(ctx, &apiregv1.APIServiceList{}, client.ObjectKey{Name: kit.ResourceMetricsAPI})
	if err != nil {
		return 0, err
	}
	defer events.Stop()

	start := time.Now()
	if _, err := cluster.Kubectl(ctx, "apply", "-f", file); err != nil {
		return 0, err
	}
	last := "it was never there"
	for event := range events.ResultChan() {
		api, ok := event.Object.(*apiregv1.APIService)
		if !ok {
			return 0, fmt.Errorf("watch of %s: %w", kit.ResourceMetricsAPI, apierrors.FromObject(event.Object))
		}
		last = "not Available yet"
		for _, condition := range api.Status.Conditions {
			if condition.Type != apiregv1.Available {
				continue
			}
			if condition.Status == apiregv1.ConditionTrue {
				return time.Since(start), nil
			}
			last = fmt.Sprintf("%s: %s", condition.Reason, condition.Message)
		}
	}
	return 0, fmt.Errorf("%s is not Available after %s: %s", kit.ResourceMetricsAPI, time.Since(start).Round(time.Second), last)
}

// sameResolution fails when upstream reads the kubelets at another interval than `spec: {}` does: then the comparison
// would be of intervals.
func sameResolution(objects []*unstructured.Unstructured) error {
	const want = "--metric-resolution=15s"
	for _, object := range objects {
		content, err := json.Marshal(object)
		if err != nil {
			return err
		}
		if object.GetKind() == "Deployment" && bytes.Contains(content, []byte(want)) {
			return nil
		}
	}
	return fmt.Errorf("upstream's Deployment does not run with %s, as `spec: {}` does", want)
}
