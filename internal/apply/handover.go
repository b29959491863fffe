// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package apply

import (
	"context"
	"fmt"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/structured-merge-diff/v6/fieldpath"

	"github.com/metricspipeline/operator/api/v1alpha1"
	"github.com/metricspipeline/operator/internal/ownership"
)

// selectorPath is a Service's selector in managedFields.
var selectorPath = fieldpath.MakePathOrDie("spec", "selector")

// RetainSelector returns the desired Service with the selector that the operator wrote earlier: new pods are selected only when
// there are some. It is for a Service whose Deployments are not rolled out yet. A selector that another writer edited is not
// retained.
func (a *Applier) RetainSelector(ctx context.Context, wanted *unstructured.Unstructured) (*unstructured.Unstructured, error) {
	digest, err := digestOf(wanted)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", ownership.Identity(wanted), err)
	}
	if last, known := a.applied[ownership.Identity(wanted)]; known && last.wanted == digest {
		return wanted, nil // It has this selector already.
	}
	found := &corev1.Service{}
	if err := a.live.Get(ctx, client.ObjectKeyFromObject(wanted), found); apierrors.IsNotFound(err) {
		return wanted, nil
	} else if err != nil {
		return nil, fmt.Errorf("read the selector of %s: %w", ownership.Identity(wanted), err)
	}
	if !fieldsOf(ownership.AppliedFields(found)).Has(selectorPath) {
		return wanted, nil
	}
	retained := wanted.DeepCopy()
	if err := unstructured.SetNestedStringMap(retained.Object, found.Spec.Selector, "spec", "selector"); err != nil {
		return nil, fmt.Errorf("retain the selector of %s: %w", ownership.Identity(wanted), err)
	}
	return retained, nil
}

// DeleteOrphans deletes the ReplicaSets, with their pods, that replaced Deployments of a component have left behind, and
// returns their identities. It may be called only when every Deployment of the component is rolled out and its Services select
// those pods, or when the component is pruned. It lists from the API server once in the life of the applier, and again after
// each replacement.
func (a *Applier) DeleteOrphans(ctx context.Context, namespace, component string) ([]string, error) {
	key := types.NamespacedName{Namespace: namespace, Name: component}
	if a.swept[key] {
		return nil, nil
	}
	list := &metav1.PartialObjectMetadataList{}
	list.SetGroupVersionKind(appsv1.SchemeGroupVersion.WithKind("ReplicaSetList"))
	err := a.live.List(ctx, list, client.InNamespace(namespace), client.MatchingLabels{
		v1alpha1.ManagedLabel: v1alpha1.SingletonName, v1alpha1.ComponentLabel: component})
	if err != nil {
		return nil, fmt.Errorf("list the ReplicaSets of %s: %w", component, err)
	}
	var deleted []string
	for i := range list.Items {
		orphan := &list.Items[i]
		// A Deployment adopts those that its selector matches before it is rolled out; the others are of an earlier one.
		if metav1.GetControllerOf(orphan) != nil || orphan.DeletionTimestamp != nil {
			continue
		}
		orphan.SetGroupVersionKind(appsv1.SchemeGroupVersion.WithKind("ReplicaSet"))
		done, err := a.Delete(ctx, orphan)
		if err != nil {
			return deleted, err
		}
		if done {
			deleted = append(deleted, ownership.Identity(orphan))
		}
	}
	a.swept[key] = true
	return deleted, nil
}
