// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v1alpha1 "github.com/metricspipeline/operator/api/v1alpha1"
	"github.com/metricspipeline/operator/test/e2e/kit"
)

// p5Hostile is what a tenant can make the operator keep: Services whose annotations are as long as the API server takes them. More of
// them do not fit into etcd.
var p5Hostile = row{
	name: "P5H",
	about: "the operator's memory with 2,000 Services of one namespace whose annotations have 240 kB each, while they come and when it " +
		"starts with them, against none",
	measure: measureP5Hostile,
}

const (
	p5HostileMany = 2_000
	// p5HostileValue is the length of the long annotation, of 256 KiB that all of an object's may have.
	p5HostileValue     = 240_000
	p5HostileHeapGoal  = 4
	p5HostileLimit     = 256
	p5HostileNamespace = "bench-hostile"
)

func measureP5Hostile(ctx context.Context, cluster *kit.Cluster, step progress) (figures []figure, err error) {
	made := namespaces(p5HostileNamespace)
	defer func() { err = errors.Join(err, takeDown(ctx, p5Limit, cluster, made...)) }()
	ctx, cancel := context.WithTimeout(ctx, 2*p5Limit)
	defer cancel()
	if err := installTraced(ctx, cluster); err != nil {
		return nil, err
	}
	if err := cluster.ApplyPipeline(ctx, scrapesEverything(v1alpha1.ScrapePerNamespace)); err != nil {
		return nil, err
	}
	none, _, err := started(ctx, cluster, step)
	if err != nil {
		return nil, err
	}
	coming, many, err := p5Attacked(ctx, cluster, made, step)
	if err != nil {
		return nil, err
	}
	return []figure{
		{name: "heap for each hostile Service", ours: (many.live - none.live) * 1024 / p5HostileMany, unit: "KiB", goal: p5HostileHeapGoal},
		{name: "most memory while they come", against: "the limit", ours: coming, theirs: p5HostileLimit, unit: "MiB",
			goal: 1},
		{name: "most memory of a start with them", against: "the limit", ours: many.residentMost, theirs: p5HostileLimit, unit: "MiB",
			goal: 1},
	}, nil
}

// p5Attacked makes the hostile Services, and returns the most memory meanwhile and that of a new start with them.
func p5Attacked(ctx context.Context, cluster *kit.Cluster, made []client.Object, step progress) (coming float64, m memory, err error) {
	if err := cluster.Apply(ctx, made...); err != nil {
		return 0, m, err
	}
	pods, err := operatorPods(ctx, cluster)
	if err != nil || len(pods) != 1 {
		return 0, m, errors.Join(err, fmt.Errorf("the operator has %d pods", len(pods)))
	}
	took, err := create(ctx, cluster, p5HostileMany, hostileService)
	if err != nil {
		return 0, m, err
	}
	_, coming, err = resident(&pods[0])
	if err != nil {
		return 0, m, fmt.Errorf("the operator has not survived the hostile Services: %w", err)
	}
	step("  %d hostile Services in %.0f s, memory at most %.1f MiB", p5HostileMany, took.Seconds(), coming)
	m, restarts, err := started(ctx, cluster, step)
	if err == nil && restarts > 0 {
		err = fmt.Errorf("the operator was started %d times more", restarts)
	}
	return coming, m, err
}

// hostileService has an annotation of the prefix and one of another prefix that are as long as they can be, in turn.
func hostileService(i int) *corev1.Service {
	service := annotatedService(p5HostileNamespace, fmt.Sprintf("app-%05d", i))
	key := []string{"prometheus.io/path", "x.io/path"}[i%2]
	service.Annotations[key] = "/" + strings.Repeat("x", p5HostileValue)
	return service
}
