// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"context"
	"fmt"

	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/resourceversion"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/metricspipeline/operator/api/v1alpha1"
	scraping "github.com/metricspipeline/operator/internal/controller/monitors"
)

// reported is the status as it was last written. The cache shows it only a moment later: whoever compared with the cache
// alone would take a status that is back to what it was before the last write for written, and since a status brings no
// event, the wrong one would stay.
type reported struct {
	uid             types.UID
	resourceVersion string
	status          v1alpha1.MetricsPipelineStatus
	// unsure is true after a write whose outcome is not known.
	unsure bool
}

// report writes what was observed: one patch of the status, and events, if anything has changed.
func (r *Reconciler) report(ctx context.Context, s *scope) error {
	if err := r.observe(ctx, s); err != nil {
		return fmt.Errorf("observe: %w", err)
	}
	if s.observed.scrape == (scraping.State{}) {
		return nil // The pipeline went during the reconcile, so there is nobody to report to.
	}
	before, err := r.writtenStatus(ctx, s.pipeline)
	if err != nil {
		return fmt.Errorf("read the status: %w", err)
	}
	status := computeStatus(s.observed, before)
	r.announce(s.pipeline, s.observed, before, status)
	r.exported.set(s.pipeline.Spec, status)
	if equality.Semantic.DeepEqual(before, status) {
		return nil
	}
	base, patched := s.pipeline.DeepCopy(), s.pipeline.DeepCopy()
	base.Status, patched.Status = before, *status.DeepCopy()
	if err := r.client.Status().Patch(ctx, patched, client.MergeFrom(base)); err != nil {
		r.reported.unsure = true
		return client.IgnoreNotFound(fmt.Errorf("patch the status: %w", err))
	}
	r.reported = reported{uid: patched.UID, resourceVersion: patched.ResourceVersion, status: patched.Status}
	return nil
}

// writtenStatus returns the status that the API server has: what was written last until the cache shows it, then what the
// cache shows.
func (r *Reconciler) writtenStatus(ctx context.Context, cached *v1alpha1.MetricsPipeline) (v1alpha1.MetricsPipelineStatus, error) {
	if r.reported.unsure {
		// A list of the one that there can be: to get it would take one more permission.
		var live v1alpha1.MetricsPipelineList
		if err := r.live.List(ctx, &live); err != nil {
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
