// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package apply

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/client-go/util/csaupgrade"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/structured-merge-diff/v6/fieldpath"

	"github.com/metricspipeline/operator/api/v1alpha1"
	"github.com/metricspipeline/operator/internal/kinds"
	"github.com/metricspipeline/operator/internal/ownership"
)

// send applies an object. A writer that edits the key of a list's item, such as a port's number, owns that item beside the one
// that an apply puts back, and the two may contradict each other: two ports of one name, two controlling owners. The API server
// then refuses every apply. For content that was accepted before, the edits are first made ours, so that the apply removes them.
func (a *Applier) send(ctx context.Context, wanted *unstructured.Unstructured, mayReclaim bool) (*unstructured.Unstructured, error) {
	sent, err := a.try(ctx, wanted, client.ForceOwnership)
	if !mayReclaim || !apierrors.IsInvalid(err) || replaceable(wanted, err) {
		return sent, err
	}
	reclaimed, reclaimErr := a.reclaim(ctx, wanted)
	if reclaimErr != nil {
		return nil, reclaimErr
	}
	if !reclaimed {
		return sent, err
	}
	a.distrust(ownership.Identity(wanted))
	return a.try(ctx, wanted, client.ForceOwnership)
}

// try applies a copy of an object once and returns the API server's answer. Where another object has the name by now, the API
// server reports an edit of the UID; that is made a conflict.
func (a *Applier) try(
	ctx context.Context, wanted *unstructured.Unstructured, options ...client.ApplyOption,
) (*unstructured.Unstructured, error) {
	sent := wanted.DeepCopy()
	err := a.client.Apply(ctx, client.ApplyConfigurationFromUnstructured(sent),
		append(options, client.FieldOwner(v1alpha1.FieldManager))...)
	if editsUID(err) {
		kind := wanted.GroupVersionKind()
		err = apierrors.NewConflict(schema.GroupResource{Group: kind.Group, Resource: kind.Kind}, wanted.GetName(), err)
	}
	return sent, err
}

// editsUID is true for the refusal of an object whose UID is not that of the existing one.
func editsUID(err error) bool {
	status := apierrors.APIStatus(nil)
	if !errors.As(err, &status) || !apierrors.IsInvalid(err) || status.Status().Details == nil {
		return false
	}
	return slices.ContainsFunc(status.Status().Details.Causes, func(cause metav1.StatusCause) bool { return cause.Field == "metadata.uid" })
}

// create applies an object that is not in the cache and that the API server refuses to merge into a foreign one. It returns
// the API server's answer, and the object before where there was one.
func (a *Applier) create(
	ctx context.Context, wanted *unstructured.Unstructured,
) (sent *unstructured.Unstructured, before client.Object, err error) {
	if sent, err = a.try(ctx, wanted); !apierrors.IsConflict(err) {
		return sent, nil, err
	}
	if before, err = a.mayCreate(ctx, wanted, false); err != nil {
		return nil, nil, err
	}
	sent, err = a.try(ctx, wanted, client.ForceOwnership)
	return sent, before, err
}

func guarded(wanted *unstructured.Unstructured) bool {
	kind, _ := kinds.Of(wanted.GroupVersionKind())
	return kind.Guarded
}

// reclaim makes the fields of an object ours that others wrote by an update; false where there are none.
func (a *Applier) reclaim(ctx context.Context, wanted *unstructured.Unstructured) (bool, error) {
	found := &metav1.PartialObjectMetadata{}
	found.SetGroupVersionKind(wanted.GroupVersionKind())
	if err := a.live.Get(ctx, client.ObjectKeyFromObject(wanted), found); err != nil {
		return false, client.IgnoreNotFound(err)
	}
	editors := sets.New[string]()
	for _, entry := range found.ManagedFields {
		if entry.Operation == metav1.ManagedFieldsOperationUpdate && entry.Subresource == "" {
			editors.Insert(entry.Manager)
		}
	}
	patch, err := reclaiming(found, editors)
	if err != nil || patch == nil {
		return false, err
	}
	if err := a.client.Patch(ctx, found, client.RawPatch(types.JSONPatchType, patch)); err != nil {
		return false, fmt.Errorf("reclaim the fields that others wrote: %w", err)
	}
	return true, nil
}

// finalizers are never ours: an apply would remove those of others, such as the one that protects a claim in use.
var finalizers = fieldpath.NewSet(fieldpath.MakePathOrDie("metadata", "finalizers"))

// reclaiming returns the patch that makes the fields of editors ours; nil where there are none.
func reclaiming(found *metav1.PartialObjectMetadata, editors sets.Set[string]) ([]byte, error) {
	before := found.DeepCopy()
	if err := csaupgrade.UpgradeManagedFields(found, editors, v1alpha1.FieldManager); err != nil {
		return nil, err //nolint:wrapcheck // the caller names the object
	}
	if equality.Semantic.DeepEqual(before.ManagedFields, found.ManagedFields) {
		return nil, nil
	}
	for i, entry := range found.ManagedFields {
		if entry.Manager != v1alpha1.FieldManager || entry.Operation != metav1.ManagedFieldsOperationApply || entry.FieldsV1 == nil {
			continue
		}
		content, err := fieldsOf(entry.FieldsV1.GetRawString()).RecursiveDifference(finalizers).ToJSON()
		if err != nil {
			return nil, fmt.Errorf("write the fields that are the operator's: %w", err)
		}
		found.ManagedFields[i].FieldsV1 = metav1.NewFieldsV1(string(content))
	}
	return json.Marshal([]map[string]any{ //nolint:wrapcheck // of plain values
		{"op": "replace", "path": "/metadata/managedFields", "value": found.ManagedFields},
		{"op": "replace", "path": "/metadata/resourceVersion", "value": before.ResourceVersion}})
}
