// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package apply

import (
	"context"
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/metricspipeline/operator/internal/kinds"
	"github.com/metricspipeline/operator/internal/ownership"
)

// cached returns the object in the watch cache; nil where there is none of ours.
func (a *Applier) cached(ctx context.Context, wanted *unstructured.Unstructured) (client.Object, error) {
	kind, managed := kinds.Of(wanted.GroupVersionKind())
	if !managed {
		return nil, fmt.Errorf("%s: the operator does not manage %s", ownership.Identity(wanted), wanted.GroupVersionKind())
	}
	current := kind.New()
	err := a.client.Get(ctx, client.ObjectKeyFromObject(wanted), current)
	if apierrors.IsNotFound(err) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read %s from the cache: %w", ownership.Identity(wanted), err)
	}
	if !ownership.Labeled(current) {
		// Of some kinds foreign objects are cached too.
		return nil, nil
	}
	return current, nil
}

// mayCreate reads an object that is not in the cache, and returns it if it is ours or to be taken over. An apply would otherwise
// quietly merge into a foreign object, and our owner reference would have it deleted with the pipeline.
func (a *Applier) mayCreate(ctx context.Context, wanted *unstructured.Unstructured, takeOver bool) (client.Object, error) {
	found := &metav1.PartialObjectMetadata{}
	found.SetGroupVersionKind(wanted.GroupVersionKind())
	err := a.live.Get(ctx, client.ObjectKeyFromObject(wanted), found)
	if apierrors.IsNotFound(err) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("look for %s: %w", ownership.Identity(wanted), err)
	}
	if takeOver || ownership.Ours(found) {
		return found, nil
	}
	taken := &NameTakenError{Object: ownership.Identity(wanted)}
	if entries := found.GetManagedFields(); len(entries) > 0 {
		taken.Manager = entries[0].Manager
	}
	return nil, taken
}
