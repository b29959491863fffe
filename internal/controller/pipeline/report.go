// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package pipeline

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/resourceversion"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/metricspipeline/operator/api/v1alpha1"
	"github.com/metricspipeline/operator/internal/report"
)

// reported is the status as it was last written. The cache shows it only a moment later: a comparison with the cache
// alone would take a status that is back to what it was before the last write for written, and since a status brings no
// event, the wrong one would stay.
type reported struct {
	uid             types.UID
	resourceVersion string
	status          v1alpha1.MetricsPipelineStatus
	// unsure is true after a write whose outcome is not known.
	unsure bool
	// waitingSince is since when a report waits for the scrape snapshot of the present spec; zero while none does.
	waitingSince time.Time
}

// problem is the last error of reports, for the readiness probe.
type problem struct{ atomic.Pointer[error] }

// Ready returns why the operator cannot report the state of the pipeline; nil where it can.
func (r *Reconciler) Ready() error {
	if err := r.blind.Load(); err != nil {
		return *err
	}
	return nil
}

// report writes what was observed: one patch of the status, and events, if anything has changed. It returns when to report again.
func (r *Reconciler) report(ctx context.Context, pipeline *v1alpha1.MetricsPipeline, o report.Observation) (time.Duration, error) {
	r.announce(pipeline, report.Changes(o))
	for _, outcome := range o.Outcomes {
		r.Metrics.Repaired(outcome.Repaired)
	}
	if wait := r.awaitScrape(o); wait > 0 {
		return wait, nil
	}
	before, err := r.writtenStatus(ctx, pipeline)
	if err != nil {
		return 0, fmt.Errorf("read the status: %w", err)
	}
	status := report.Status(o, before)
	r.announce(pipeline, report.Transitions(before, status))
	r.Metrics.Set(o, status)
	if equality.Semantic.DeepEqual(before, status) {
		r.blind.Store(nil)
		return 0, nil
	}
	base, patched := pipeline.DeepCopy(), pipeline.DeepCopy()
	base.Status, patched.Status = before, *status.DeepCopy()
	err = client.IgnoreNotFound(r.Client.Status().Patch(ctx, patched, client.MergeFrom(base)))
	if err != nil {
		err = fmt.Errorf("patch the status of MetricsPipeline %s: %w", pipeline.Name, err)
		r.failed(report.PhaseReport, err)
		r.reported.unsure = true
		r.blind.Store(&err)
		return 0, err
	}
	r.blind.Store(nil)
	r.reported = reported{uid: patched.UID, resourceVersion: patched.ResourceVersion, status: patched.Status}
	return 0, nil
}

func (r *Reconciler) announce(pipeline *v1alpha1.MetricsPipeline, events []report.Event) {
	for _, e := range events {
		r.Events.Eventf(pipeline, nil, e.Type, e.Reason, e.Action, "%s", e.Note)
	}
}

// awaitScrape returns how long the report can wait for a snapshot of annotated apps: after a start or a change of the spec the
// other controller is about to publish one, which wakes this one. The wait is bounded, since it may fail to.
func (r *Reconciler) awaitScrape(o report.Observation) time.Duration {
	if o.Scrape != nil && o.Scrape.Current {
		r.reported.waitingSince = time.Time{}
		return 0
	}
	now := time.Now()
	if r.reported.waitingSince.IsZero() {
		r.reported.waitingSince = now
	}
	return max(0, r.Timing.Snapshot-now.Sub(r.reported.waitingSince))
}

// writtenStatus returns the status that the API server has: what was written last until the cache shows it, then what the
// cache shows.
func (r *Reconciler) writtenStatus(ctx context.Context, cached *v1alpha1.MetricsPipeline) (v1alpha1.MetricsPipelineStatus, error) {
	if r.reported.unsure {
		// A list of the one that there can be: to get it would take one more permission.
		var live v1alpha1.MetricsPipelineList
		if err := r.Live.List(ctx, &live); err != nil {
			return v1alpha1.MetricsPipelineStatus{}, err
		}
		r.reported = reported{}
		for _, pipeline := range live.Items {
			r.reported = reported{uid: pipeline.UID, resourceVersion: pipeline.ResourceVersion, status: pipeline.Status}
		}
	}
	age, err := resourceversion.CompareResourceVersion(cached.ResourceVersion, r.reported.resourceVersion)
	if cached.UID == r.reported.uid && err == nil && age < 0 {
		return *r.reported.status.DeepCopy(), nil
	}
	return cached.Status, nil
}
