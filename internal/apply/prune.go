// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package apply

import (
	"context"
	"errors"
	"fmt"
	"slices"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/metricspipeline/operator/api/v1alpha1"
	"github.com/metricspipeline/operator/internal/kinds"
	"github.com/metricspipeline/operator/internal/ownership"
)

// Prune deletes the objects of the given kinds that carry the operator's label, that where selects and that keep does not, and
// returns their identities. It reads from the cache, and deletes an object by UID, so that one made anew meanwhile stays. One that may
// not be deleted, such as one with our label and a name that is not ours, keeps no other.
func (a *Applier) Prune(ctx context.Context, of []kinds.Kind, keep func(client.Object) bool, where ...client.ListOption) ([]string, error) {
	var deleted []string
	var failures []error
	for _, kind := range of {
		objects, err := a.list(ctx, kind, where)
		failures = append(failures, err)
		for _, object := range objects {
			if keep(object) || object.GetDeletionTimestamp() != nil {
				continue
			}
			done, err := a.Delete(ctx, object)
			failures = append(failures, err)
			if done {
				deleted = append(deleted, ownership.Identity(object))
			}
		}
	}
	return deleted, errors.Join(failures...)
}

// Delete deletes an object by UID. It returns false when that was deleted already: the event of that is still to come. A
// conflict is returned: another object may have the name by now, or an admission webhook may have answered, which brings no event.
func (a *Applier) Delete(ctx context.Context, object client.Object) (bool, error) {
	id := ownership.Identity(object)
	err := a.client.Delete(ctx, object,
		client.Preconditions{UID: ptr.To(object.GetUID())},
		client.PropagationPolicy(metav1.DeletePropagationBackground))
	delete(a.applied, id)
	if apierrors.IsNotFound(err) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("delete %s, which is no longer wanted: %w", id, err)
	}
	return true, nil
}

// list returns the cached objects of a kind that carry the operator's label.
func (a *Applier) list(ctx context.Context, kind kinds.Kind, where []client.ListOption) ([]client.Object, error) {
	list := kind.NewList()
	where = append(slices.Clone(where), client.MatchingLabels{v1alpha1.ManagedLabel: v1alpha1.SingletonName})
	err := a.client.List(ctx, list, where...)
	if err != nil {
		return nil, fmt.Errorf("list %s from the cache: %w", kind.Kind, err)
	}
	var objects []client.Object
	items, err := meta.ExtractList(list)
	if err != nil {
		return nil, fmt.Errorf("read the list of %s: %w", kind.Kind, err)
	}
	for _, item := range items {
		object, ok := item.(client.Object)
		if !ok {
			return nil, fmt.Errorf("read the list of %s: unexpected %T", kind.Kind, item)
		}
		// The cache strips the kind from typed objects.
		object.GetObjectKind().SetGroupVersionKind(kind.GroupVersionKind)
		objects = append(objects, object)
	}
	return objects, nil
}
