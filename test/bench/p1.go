// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/metricspipeline/operator/test/e2e/kit"
)

// p1 is what the operator's own work costs between a new pipeline and what it brings: reading the cluster, certificates,
// rendering, and reading before it writes. The pipeline is the sample with rules, so that every component is deployed. No node
// takes pods meanwhile: their start would take most of the processors, and is not the operator's work.
var p1 = row{
	name: "P1",
	about: "a pipeline with rules is created until its objects are stored and its status is written: the operator against a " +
		"bare client that sends the same requests",
	measure: measureP1,
	floor:   floorP1,
}

const (
	p1Runs = 9
	p1Goal = 1.3
	// p1Limit bounds one run, with the removal of what it left.
	p1Limit = 5 * time.Minute
)

// p1Times are the measured times in milliseconds: of an operator that has just started, of one that had this pipeline
// before, and of the floor.
type p1Times struct{ first, again, floor []float64 }

func measureP1(ctx context.Context, cluster *kit.Cluster, step progress) (figures []figure, err error) {
	defer func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), p1Limit)
		defer cancel()
		err = errors.Join(err, cordon(ctx, cluster, false), cluster.DeletePipeline(ctx), cluster.UninstallOperator(ctx))
	}()
	pipeline, err := samplePipeline(cluster)
	if err != nil {
		return nil, err
	}
	if err := installAlone(ctx, cluster); err != nil {
		return nil, err
	}
	if err := cordon(ctx, cluster, true); err != nil {
		return nil, err
	}
	first, err := firstObjects(ctx, cluster, pipeline)
	if err != nil {
		return nil, err
	}
	step("  %d objects: %s", len(first.objects), first.spread())
	if err := cordon(ctx, cluster, false); err != nil {
		return nil, err
	}
	var times p1Times
	for i := range p1Runs {
		if err := p1Run(ctx, cluster, first, &times, step); err != nil {
			return nil, fmt.Errorf("run %d: %w", i+1, err)
		}
		step("  run %d of %d: first %.0f ms, again %.0f ms, bare client %.0f ms",
			i+1, p1Runs, times.first[i], times.again[i], times.floor[i])
	}
	name := fmt.Sprintf("pipeline created until stored and reported, median of %d", p1Runs)
	return []figure{
		{
			name: name, against: "bare client", unit: "ms", goal: p1Goal,
			ours: median(times.first), theirs: median(times.floor),
		},
		{
			name: name + ", of a pipeline that was there before", against: "bare client", unit: "ms", free: true,
			ours: median(times.again), theirs: median(times.floor),
		},
	}, nil
}

// p1Run measures each of the three once, in turns, so that what else the machine does meets all alike.
func p1Run(ctx context.Context, cluster *kit.Cluster, first *firstWave, times *p1Times, step progress) (err error) {
	ctx, cancel := context.WithTimeout(ctx, p1Limit)
	defer cancel()
	operator, err := restart(ctx, cluster)
	if err != nil {
		return err
	}
	if err := rested(ctx, operator); err != nil {
		return err
	}
	if err := cordon(ctx, cluster, true); err != nil {
		return err
	}
	run, err := first.time(ctx)
	if err != nil {
		return err
	}
	times.first = append(times.first, run.milliseconds())
	step("    first: %s", run)
	work, err := workOf(ctx, cluster, run)
	if err != nil {
		return err
	}
	if err := cluster.DeletePipeline(ctx); err != nil {
		return err
	}
	if err := rested(ctx, operator); err != nil {
		return err
	}
	if run, err = first.time(ctx); err != nil {
		return err
	}
	times.again = append(times.again, run.milliseconds())
	step("    again: %s", run)
	if err := cluster.DeletePipeline(ctx); err != nil {
		return err
	}

	// The operator has to be there when the floor starts, for its share of the processors, and away when the floor works.
	floor, err := startFloor(ctx, cluster, "P1", work, operator)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, floor.stop()) }()
	if err := scale(ctx, cluster, 0); err != nil {
		return err
	}
	if run, err = first.time(ctx); err != nil {
		return fmt.Errorf("bare client: %w", err)
	}
	times.floor = append(times.floor, run.milliseconds())
	step("    bare client: %s", run)
	return errors.Join(cluster.DeletePipeline(ctx), cordon(ctx, cluster, false), scale(ctx, cluster, 1))
}
