// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"context"
	"fmt"

	"k8s.io/apimachinery/pkg/api/equality"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// report writes what was observed: one patch of the status, and events, if anything has changed.
func (r *Reconciler) report(ctx context.Context, s *scope) error {
	if err := r.observe(ctx, s); err != nil {
		return fmt.Errorf("observe: %w", err)
	}
	before := s.pipeline.Status
	status := computeStatus(s.observed, before)
	r.announce(s.pipeline, s.observed, before, status)
	if equality.Semantic.DeepEqual(before, status) {
		return nil
	}
	patched := s.pipeline.DeepCopy()
	patched.Status = status
	if err := r.client.Status().Patch(ctx, patched, client.MergeFrom(s.pipeline)); err != nil {
		return client.IgnoreNotFound(fmt.Errorf("patch the status: %w", err))
	}
	return nil
}
