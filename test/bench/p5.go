// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v1alpha1 "github.com/metricspipeline/operator/api/v1alpha1"
	"github.com/metricspipeline/operator/test/e2e/kit"
)

// p5 is what the operator keeps of each Service that it watches, all of them annotated, which is the most that it keeps of
// any. The operator is the one of config/, with its memory limit.
var p5 = row{
	name:    "P5",
	about:   "the operator's heap for each watched Service from 10,000 to 50,000, and its memory while it starts with 50,000",
	measure: measureP5,
}

const (
	p5Few, p5Many = 10_000, 50_000
	// p5PerNamespace is how many Services a namespace has.
	p5PerNamespace = 2_000
	p5HeapGoal     = 0.75
	p5PeakGoal     = 1.5
	// p5Limit bounds one size: the creation of the Services, a start, and two minutes until the runtime collects.
	p5Limit = 10 * time.Minute
)

// memory is what an operator takes that has seen everything and has nothing to do, and the most that it took.
type memory struct {
	// live is the heap in use after a collection; liveMost the most of that.
	live, liveMost float64
	// resident is the process' memory; residentMost the most of it.
	resident, residentMost float64
}

func measureP5(ctx context.Context, cluster *kit.Cluster, step progress) (figures []figure, err error) {
	var made []client.Object
	defer func() { err = errors.Join(err, takeDown(ctx, p5Limit, cluster, made...)) }()
	if err := installTraced(ctx, cluster); err != nil {
		return nil, err
	}
	if err := cluster.ApplyPipeline(ctx, scrapesEverything(v1alpha1.ScrapePerNamespace)); err != nil {
		return nil, err
	}
	measured := map[int]memory{}
	before := 0
	for _, size := range []int{p5Few, p5Many} {
		for at := before; at < size; at += p5PerNamespace {
			made = append(made, kit.Namespace(p5Namespace(at)))
		}
		if measured[size], err = p5At(ctx, cluster, made, before, size, step); err != nil {
			return nil, fmt.Errorf("with %d Services: %w", size, err)
		}
		before = size
	}
	few, many := measured[p5Few], measured[p5Many]
	return []figure{
		{
			name: "heap for each Service, 10k to 50k", unit: "KiB", goal: p5HeapGoal,
			ours: (many.live - few.live) * 1024 / (p5Many - p5Few),
		},
		{
			name: "live heap at 50k, most while starting", against: "steady", unit: "MiB", goal: p5PeakGoal,
			ours: many.liveMost, theirs: many.live,
		},
		{
			name: "memory at 50k, most while starting", against: "steady", unit: "MiB", goal: p5PeakGoal,
			ours: many.residentMost, theirs: many.resident,
		},
	}, nil
}

func p5Namespace(i int) string { return fmt.Sprintf("bench-%02d", i/p5PerNamespace) }

// p5At makes the Services from one number up to another, starts the operator anew, and reads its memory once it is idle.
func p5At(ctx context.Context, cluster *kit.Cluster, made []client.Object, from, to int, step progress) (memory, error) {
	ctx, cancel := context.WithTimeout(ctx, p5Limit)
	defer cancel()
	if err := cluster.Apply(ctx, made...); err != nil {
		return memory{}, err
	}
	took, err := create(ctx, cluster, to-from, func(i int) *corev1.Service {
		return annotatedService(p5Namespace(from+i), fmt.Sprintf("app-%05d", from+i))
	})
	if err != nil {
		return memory{}, err
	}
	step("  %d Services, the last %d in %.0f s", to, to-from, took.Seconds())
	if err := counted(ctx, cluster, to); err != nil {
		return memory{}, err
	}
	m, _, err := started(ctx, cluster, step)
	return m, err
}

// started starts the operator anew, and returns its memory once it is idle and how often its container was started again.
func started(ctx context.Context, cluster *kit.Cluster, step progress) (m memory, restarts int32, err error) {
	pod, err := restart(ctx, cluster)
	if err != nil {
		return m, 0, err
	}
	all, err := settled(ctx, cluster, pod)
	if err != nil {
		return m, 0, err
	}
	m.live = all[len(all)-1].live
	for _, c := range all {
		m.liveMost = max(m.liveMost, c.live)
	}
	if m.resident, m.residentMost, err = resident(pod); err != nil {
		return m, 0, err
	}
	step("  started: live heap %.0f MiB, at most %.0f; memory %.1f MiB, at most %.1f", m.live, m.liveMost, m.resident, m.residentMost)
	if err := cluster.Client.Get(ctx, client.ObjectKeyFromObject(pod), pod); err != nil {
		return m, 0, err
	}
	return m, pod.Status.ContainerStatuses[0].RestartCount, nil
}

// settled waits until a new operator has been idle for two minutes, and returns all collections of its runtime. By then it
// has seen everything, and done what there was to do.
func settled(ctx context.Context, cluster *kit.Cluster, pod *corev1.Pod) ([]collection, error) {
	var all []collection
	err := kit.Poll(ctx, func(ctx context.Context) (done bool, err error) {
		all, err = collections(ctx, cluster, pod)
		return idle(all), err
	})
	if err != nil {
		return nil, fmt.Errorf("wait for the operator to be idle, after %d collections: %w", len(all), err)
	}
	return all, nil
}
