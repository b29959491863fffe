// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/metricspipeline/operator/test/e2e/kit"
	"github.com/metricspipeline/operator/test/e2e/puppets"
)

// p12 is what HPAs that work cost, how soon it is said why others fail, and what these cost Prometheus.
var p12 = row{
	name: "P12",
	about: "1,000 HPAs: the requests of an idle operator while all of them work; how soon it is said why 50 of them fail; and what " +
		"Prometheus answers while 500 fail",
	measure: measureP12,
}

const (
	p12Scalers, p12Namespaces = 1000, 10
	// p12Changed HPAs are changed to fail, p12Created are made anew so at the same time, and p12Failing fail in the end.
	p12Changed, p12Created, p12Failing = 50, 15, 500
	// p12SaidGoal is in seconds, p12AskedGoal in queries a second, p12IdleGoal in requests a minute: 30 renew the leader's lease.
	p12SaidGoal, p12AskedGoal, p12IdleGoal = 60, 1, 40
	// p12Calm is how long what came before has to settle, and p12Span how long rates are measured.
	p12Calm, p12Span = 2 * time.Minute, 3 * time.Minute
	p12Limit         = 15 * time.Minute
)

// p12Typo is a metric that nothing makes, another one for each HPA.
func p12Typo(i int) string { return fmt.Sprintf("%s_typo_%d", puppets.Metric, i) }

func measureP12(ctx context.Context, cluster *kit.Cluster, step progress) (figures []figure, err error) {
	fleet := puppets.New(cluster, p12Scalers, p12Namespaces)
	defer func() { err = errors.Join(err, takeDownPuppets(ctx, p12Limit, cluster, fleet)) }()
	if err := p12Begin(ctx, cluster, fleet, step); err != nil {
		return nil, err
	}
	idle, err := p12Rate(ctx, step, "requests of the operator", func(ctx context.Context) (reading, error) {
		return p12Requests(ctx, cluster)
	})
	if err != nil {
		return nil, err
	}
	changed, created, err := p12Said(ctx, cluster, fleet, step)
	if err != nil {
		return nil, err
	}
	asked, err := p12Many(ctx, cluster, fleet, step)
	if err != nil {
		return nil, err
	}
	return []figure{
		{name: "requests of an idle operator with 1,000 HPAs that work", ours: 60 * idle, unit: "a minute", goal: p12IdleGoal},
		{name: "until it is said why an HPA fails, p99 of 50 that were changed", ours: changed.most, unit: "s", goal: p12SaidGoal},
		{name: "the same of 15 new ones, which have a minute at first", ours: created.most, unit: "s", free: true},
		{name: "what Prometheus answers while 500 HPAs fail", ours: asked, unit: "queries/s", goal: p12AskedGoal},
	}, nil
}

// p12Begin installs the operator, and waits until all HPAs work.
func p12Begin(ctx context.Context, cluster *kit.Cluster, fleet *puppets.Fleet, step progress) error {
	ctx, cancel := context.WithTimeout(ctx, p12Limit)
	defer cancel()
	start := time.Now()
	if err := installAlone(ctx, cluster); err != nil {
		return err
	}
	if err := cluster.ApplyPipeline(ctx, servesPuppets(nil)); err != nil {
		return err
	}
	if err := fleet.Begin(ctx); err != nil {
		return err
	}
	step("  %d HPAs are there after %.0f s", p12Scalers, time.Since(start).Seconds())
	err := kit.Poll(ctx, func(ctx context.Context) (bool, error) {
		working, err := fleet.Working(ctx)
		if working < p12Scalers || err != nil {
			return false, errors.Join(err, sleep(ctx, 5*time.Second))
		}
		pipeline, err := cluster.Pipeline(ctx)
		if err != nil {
			return false, err
		}
		all := pipeline.Status.Autoscalers
		return all != nil && all.Total == p12Scalers && all.Working == p12Scalers, nil
	})
	if err != nil {
		return fmt.Errorf("wait until all HPAs work: %w", err)
	}
	step("  all of them work after %.0f s", time.Since(start).Seconds())
	return sleep(ctx, p12Calm/2)
}

// p12Many has 500 HPAs fail and none work, so that the adapter queries nothing, and returns the queries that Prometheus answers.
func p12Many(ctx context.Context, cluster *kit.Cluster, fleet *puppets.Fleet, step progress) (perSecond float64, err error) {
	if err := kit.InParallel(ctx, p12Scalers-p12Failing, func(ctx context.Context, i int) error {
		return cluster.Client.Delete(ctx, fleet.Scaler(p12Failing+i, puppets.Metric))
	}); err != nil {
		return 0, err
	}
	from := p12Changed + p12Created
	if err := kit.InParallel(ctx, p12Failing-from, func(ctx context.Context, i int) error {
		return p12Change(ctx, cluster, fleet, from+i)
	}); err != nil {
		return 0, err
	}
	if err := sleep(ctx, p12Calm); err != nil {
		return 0, err
	}
	return p12Rate(ctx, step, "queries that Prometheus answers", func(ctx context.Context) (reading, error) {
		answered, _, err := cluster.PrometheusSum(ctx, func(series string) bool {
			return strings.HasPrefix(series, "prometheus_http_requests_total{") && strings.Contains(series, `handler="/api/v1/query`)
		})
		return reading{answered, time.Now()}, err
	})
}

// reading is what a counter was at a time.
type reading struct {
	value float64
	at    time.Time
}

// p12Requests is what the operator has sent to the API server, as Prometheus saw it last.
func p12Requests(ctx context.Context, cluster *kit.Cluster) (reading, error) {
	const counter = `rest_client_requests_total{job="metricspipeline-operator-metrics"}`
	value, found, err := cluster.Query(ctx, "sum("+counter+")")
	if err != nil || !found {
		return reading{}, errors.Join(err, fmt.Errorf("query %s: found %t", counter, found))
	}
	at, _, err := cluster.Query(ctx, "max(timestamp("+counter+"))")
	return reading{value, time.UnixMilli(int64(1000 * at))}, err
}

// p12Rate is how much a counter grows each second.
func p12Rate(ctx context.Context, step progress, name string, read func(context.Context) (reading, error)) (float64, error) {
	first, err := read(ctx)
	if err != nil {
		return 0, err
	}
	if err := sleep(ctx, p12Span); err != nil {
		return 0, err
	}
	last, err := read(ctx)
	took := last.at.Sub(first.at)
	step("  %s: %.0f in %.0f s", name, last.value-first.value, took.Seconds())
	return (last.value - first.value) / took.Seconds(), err
}

// p12Change has an HPA read a metric that does not exist.
func p12Change(ctx context.Context, cluster *kit.Cluster, fleet *puppets.Fleet, i int) error {
	scaler := fleet.Scaler(i, puppets.Metric)
	before := scaler.DeepCopy()
	scaler.Spec = fleet.Scaler(i, p12Typo(i)).Spec
	return cluster.Client.Patch(ctx, scaler, client.MergeFrom(before))
}

// p12Create deletes an HPA, and makes one that reads a metric that does not exist.
func p12Create(ctx context.Context, cluster *kit.Cluster, fleet *puppets.Fleet, i int) error {
	scaler := fleet.Scaler(i, p12Typo(i))
	return errors.Join(cluster.Client.Delete(ctx, scaler.DeepCopy()), cluster.Client.Create(ctx, scaler))
}
