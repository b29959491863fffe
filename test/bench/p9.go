// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v1alpha1 "github.com/metricspipeline/operator/api/v1alpha1"
	"github.com/metricspipeline/operator/test/e2e/kit"
)

// p9 is what the operator costs while it has nothing to do, and for how long its work is not done when its leader ends. Every
// component is deployed and the pipeline is Ready.
var p9 = row{
	name: "P9",
	about: "the memory of an idle operator with 0 and with 10,000 annotated Services, and how long after SIGTERM of the leader " +
		"the standby has written",
	measure: measureP9,
}

const (
	p9Many         = 10_000
	p9PrivateGoal  = 30
	p9ResidentGoal = 60
	p9Starts       = 3
	p9Runs         = 9
	p9Goal         = 1.2
	// p9Limit bounds the creation of the Services, one start, and one end of a leader.
	p9Limit = p5Limit
)

func measureP9(ctx context.Context, cluster *kit.Cluster, step progress) (figures []figure, err error) {
	var made []client.Object
	defer func() { err = errors.Join(err, takeDown(ctx, p9Limit, cluster, made...)) }()
	if err := p9Given(ctx, cluster); err != nil {
		return nil, err
	}
	if figures, err = p9Memory(ctx, cluster, 0, step); err != nil {
		return nil, err
	}
	handOver, err := p9HandOver(ctx, cluster, step)
	if err != nil {
		return nil, err
	}
	for at := 0; at < p9Many; at += p5PerNamespace {
		made = append(made, kit.Namespace(p5Namespace(at)))
	}
	if err := p9Services(ctx, cluster, made); err != nil {
		return nil, err
	}
	many, err := p9Memory(ctx, cluster, p9Many, step)
	return slices.Concat(figures, many, handOver), err
}

// p9Given installs the operator, and brings a pipeline with every component to Ready.
func p9Given(ctx context.Context, cluster *kit.Cluster) error {
	ctx, cancel := context.WithTimeout(ctx, p9Limit)
	defer cancel()
	pipeline, err := samplePipeline(cluster)
	if err != nil {
		return err
	}
	if err := installTraced(ctx, cluster); err != nil {
		return err
	}
	if err := cluster.Client.Create(ctx, pipeline); err != nil {
		return err
	}
	return kit.Await(ctx, cluster, &v1alpha1.MetricsPipelineList{}, pipelineKey, kit.IsReady)
}

// p9Services makes the Services, and waits until the status counts them.
func p9Services(ctx context.Context, cluster *kit.Cluster, namespaces []client.Object) error {
	ctx, cancel := context.WithTimeout(ctx, p9Limit)
	defer cancel()
	if err := cluster.Apply(ctx, namespaces...); err != nil {
		return err
	}
	_, err := create(ctx, cluster, p9Many, func(i int) *corev1.Service {
		return annotatedService(p5Namespace(i), fmt.Sprintf("app-%05d", i))
	})
	if err != nil {
		return err
	}
	return counted(ctx, cluster, p9Many)
}

// p9Memory is what the operator takes, as the median of several starts: how much a start leaves behind depends on when the
// runtime collected.
func p9Memory(ctx context.Context, cluster *kit.Cluster, services int, step progress) ([]figure, error) {
	var private, resident []float64
	for i := range p9Starts {
		read, err := p9Start(ctx, cluster)
		if err != nil {
			return nil, fmt.Errorf("start %d with %d Services: %w", i+1, services, err)
		}
		step("  %d Services, start %d of %d: private %.1f MB, resident %.1f MB", services, i+1, p9Starts, read.private, read.resident)
		private, resident = append(private, read.private), append(resident, read.resident)
	}
	with := fmt.Sprintf("memory with %d Services, median of %d", services, p9Starts)
	return []figure{
		{name: "private " + with, ours: median(private), unit: "MB", goal: p9PrivateGoal},
		{name: "resident " + with, ours: median(resident), unit: "MB", goal: p9ResidentGoal},
	}, nil
}

// p9Start starts the operator anew and reads what it takes once it has been idle for two minutes.
func p9Start(ctx context.Context, cluster *kit.Cluster) (footprint, error) {
	ctx, cancel := context.WithTimeout(ctx, p9Limit)
	defer cancel()
	pod, err := restart(ctx, cluster)
	if err != nil {
		return footprint{}, err
	}
	if _, err := settled(ctx, cluster, pod); err != nil {
		return footprint{}, err
	}
	return footprintOf(ctx, pod)
}
