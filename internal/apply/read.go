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

	"github.com/metricspipeline/operator/api/v1alpha1"
)

// cached returns the object as the watch cache holds it; nil where it does not.
func (a *Applier) cached(ctx context.Context, wanted *unstructured.Unstructured) (client.Object, error) {
	kind, managed := kindOf(wanted.GroupVersionKind())
	if !managed {
		return nil, fmt.Errorf("%s: the operator does not manage %s", Identity(wanted), wanted.GroupVersionKind())
	}
	current := kind.New()
	err := a.client.Get(ctx, client.ObjectKeyFromObject(wanted), current)
	if apierrors.IsNotFound(err) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read %s from the cache: %w", Identity(wanted), err)
	}
	if !ours(current) {
		// Some kinds are cached whether they are ours or not.
		return nil, nil
	}
	return current, nil
}

// mayCreate looks whether an object that the cache does not hold is really absent, and returns it if it is ours or to be
// taken over. An apply would otherwise quietly merge into what somebody else made, and our owner reference would have it
// deleted with the pipeline.
func (a *Applier) mayCreate(ctx context.Context, wanted *unstructured.Unstructured, takeOver bool) (client.Object, error) {
	found := &metav1.PartialObjectMetadata{}
	found.SetGroupVersionKind(wanted.GroupVersionKind())
	err := a.live.Get(ctx, client.ObjectKeyFromObject(wanted), found)
	if apierrors.IsNotFound(err) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("look for %s: %w", Identity(wanted), err)
	}
	if takeOver || ours(found) || ownedFields(found) != "" {
		return found, nil
	}
	taken := &NameTakenError{Object: Identity(wanted)}
	if entries := found.GetManagedFields(); len(entries) > 0 {
		taken.Manager = entries[0].Manager
	}
	return nil, taken
}

func ours(object client.Object) bool {
	return object.GetLabels()[v1alpha1.ManagedLabel] == v1alpha1.SingletonName
}

// ownedFields returns the fields that our server-side apply owns, in the API server's own writing.
func ownedFields(object client.Object) string {
	for _, entry := range object.GetManagedFields() {
		applied := entry.Operation == metav1.ManagedFieldsOperationApply && entry.Subresource == ""
		if applied && entry.Manager == v1alpha1.FieldManager && entry.FieldsV1 != nil {
			return entry.FieldsV1.GetRawString()
		}
	}
	return ""
}
