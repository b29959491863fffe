// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package harness

import (
	"errors"
	"fmt"
	"strconv"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/metrics"
)

// The metrics that controller-runtime keeps of every reconciler of this process. It does not export them, and to gather all
// metrics of a thousand operators takes longer than what is waited for, so they are looked up by their descriptions.
var (
	reconciles = existing(prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "controller_runtime_reconcile_total",
		Help: "Total number of reconciliations per controller",
	}, []string{"controller", "result"}))
	panics = existing(prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "controller_runtime_reconcile_panics_total",
		Help: "Total number of reconciliation panics per controller",
	}, []string{"controller"}))
	active = existing(prometheus.NewGaugeVec(prometheus.GaugeOpts{
		Name: "controller_runtime_active_workers",
		Help: "Number of currently used workers per controller",
	}, []string{"controller"}))
	waiting = existing(prometheus.NewGaugeVec(prometheus.GaugeOpts{
		Name: "workqueue_depth",
		Help: "Current depth of workqueue by workqueue and priority",
	}, []string{"name", "controller", "priority"}))
)

// existing returns the registered metric of a description.
func existing[Vector prometheus.Collector](described Vector) Vector {
	err := metrics.Registry.Register(described)
	var already prometheus.AlreadyRegisteredError
	if !errors.As(err, &already) {
		panic(fmt.Sprintf("this version of controller-runtime describes its metrics otherwise: %v", err))
	}
	return already.ExistingCollector.(Vector)
}

// controllers are the names of the operator's two: that of the pipeline and that of monitors.
func (o *Operator) controllers() []string { return []string{o.name, o.name + "-monitors"} }

// Reconciles is how often the operator has reconciled.
func (o *Operator) Reconciles() int {
	total := 0
	for _, result := range []string{"success", "error", "requeue", "requeue_after"} {
		total += value(reconciles.WithLabelValues(o.name, result))
	}
	return total
}

// Busy is the number of reconciles, those of monitors included, that run or wait in a queue.
func (o *Operator) Busy() int {
	total := 0
	for _, controller := range o.controllers() {
		total += value(active.WithLabelValues(controller))
		for _, priority := range []int{0, handler.LowPriority} {
			total += value(waiting.WithLabelValues(controller, controller, strconv.Itoa(priority)))
		}
	}
	return total
}

// Panics is how often the operator's reconcilers panicked.
func (o *Operator) Panics() int {
	total := 0
	for _, controller := range o.controllers() {
		total += value(panics.WithLabelValues(controller))
	}
	return total
}

// value returns that of a counter or a gauge.
func value(of prometheus.Metric) int {
	written := &dto.Metric{}
	if err := of.Write(written); err != nil {
		panic(fmt.Sprintf("reading %s: %v", of.Desc(), err)) // Counters and gauges cannot fail.
	}
	return int(written.GetCounter().GetValue() + written.GetGauge().GetValue())
}
