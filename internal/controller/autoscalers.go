// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package controller

import (
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/metricspipeline/operator/api/v1alpha1"
	"github.com/metricspipeline/operator/internal/controller/autoscalers"
	"github.com/metricspipeline/operator/internal/report"
)

// hpas returns what has HPAs that fail examined, and who explains them.
func hpas(mgr ctrl.Manager, options Options, operator *Operator, announce func()) (*autoscalers.Reconciler, *examiner, error) {
	examiner, err := newExaminer(mgr, options)
	if err != nil {
		return nil, nil, err
	}
	name, timing := options.Name+"-autoscalers", options.Timing
	r, err := autoscalers.Setup(mgr, autoscalers.Options{
		Name: name, Watches: options.Watches, Examine: examiner.examine, Announce: announce,
		Asked: announce, // Rules are derived from it.
		Work:  timing.Work, FirstFailure: timing.FirstFailure, LastFailure: timing.LastFailure,
		Counts: timing.Counts, Reports: timing.Reports, Patience: timing.Patience,
		Wrap: func(r reconcile.Reconciler) reconcile.Reconciler { return operator.workers.add(name, timing.Work, r) },
	})
	return r, examiner, err
}

// autoscalersOf returns the last snapshot of HPAs as a report takes it; nil before the first, and where it is about an earlier pipeline.
func autoscalersOf(hpas *autoscalers.Reconciler, pipeline *v1alpha1.MetricsPipeline) *report.Autoscalers {
	s := hpas.Snapshot()
	if s == nil || s.Of != pipeline.UID {
		return nil
	}
	return &report.Autoscalers{Status: s.Status, Reasons: s.Reasons, Administrator: s.Administrator, First: s.First, Unsure: s.Unsure,
		Problem: s.Problem}
}
