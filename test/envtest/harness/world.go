// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package harness

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/go-logr/logr"
	"golang.org/x/sync/errgroup"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/metricspipeline/operator/api/v1alpha1"
	"github.com/metricspipeline/operator/internal/kinds"
	"github.com/metricspipeline/operator/internal/ownership"
)

// World is what one test works with: a control plane, the pipeline, and at most one operator at a time. Each suite embeds it
// and adds its own expectations. Methods return errors, because some tests expect a failure.
type World struct {
	*Cluster
	// Ctx ends after the test's clean-up, which sends requests as well.
	Ctx context.Context
	// Operator is the one that runs, or ran last.
	Operator *Operator
}

// NewWorld returns the world of a test, which has the control plane to itself.
func NewWorld(t *testing.T, c *Cluster) *World {
	t.Helper()
	ctx, end := context.WithCancel(context.WithoutCancel(t.Context()))
	t.Cleanup(end)
	return &World{Cluster: c, Ctx: ctx}
}

// Launch starts an operator and does not wait for it.
func (w *World) Launch(log logr.Logger, conditions Conditions) (err error) {
	w.Operator, err = w.launchOperator(w.Ctx, log, conditions)
	return err
}

// Start starts an operator and waits until its caches are filled.
func (w *World) Start(log logr.Logger, conditions Conditions) error {
	if err := w.Launch(log, conditions); err != nil {
		return err
	}
	select {
	case <-w.Operator.Elected:
		return nil
	case err := <-w.Operator.ended:
		w.Operator.cancel()
		return fmt.Errorf("the manager ended at its start: %w", err)
	}
}

// Apply creates the pipeline or replaces its spec, which is YAML.
func (w *World) Apply(spec string) error {
	content := map[string]any{}
	if err := yaml.Unmarshal([]byte(spec), &content); err != nil {
		return fmt.Errorf("reading a spec: %w", err)
	}
	return w.ApplySpec(content)
}

// ApplySpec is Apply for a spec that has been read.
func (w *World) ApplySpec(content map[string]any) error {
	object := &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": v1alpha1.GroupVersion.String(), "kind": "MetricsPipeline",
		"metadata": map[string]any{"name": v1alpha1.SingletonName}, "spec": content,
	}}
	return w.Client.Apply(w.Ctx, client.ApplyConfigurationFromUnstructured(object), client.FieldOwner("user"), client.ForceOwnership)
}

// Pipeline returns the pipeline as it is stored.
func (w *World) Pipeline() (*v1alpha1.MetricsPipeline, error) {
	pipeline := &v1alpha1.MetricsPipeline{}
	return pipeline, w.Client.Get(w.Ctx, client.ObjectKey{Name: v1alpha1.SingletonName}, pipeline)
}

// DeletePipeline deletes the pipeline, if there is one.
func (w *World) DeletePipeline() error {
	pipeline := &v1alpha1.MetricsPipeline{ObjectMeta: metav1.ObjectMeta{Name: v1alpha1.SingletonName}}
	return client.IgnoreNotFound(w.Client.Delete(w.Ctx, pipeline))
}

// Objects returns what the operator has written, whole, in the order of the identities.
func (w *World) Objects() ([]*unstructured.Unstructured, error) {
	lists := map[schema.GroupVersionKind]*unstructured.UnstructuredList{}
	var all errgroup.Group
	for _, kind := range slices.Concat(kinds.Managed, kinds.Monitors) {
		if lists[kind.GroupVersionKind] != nil {
			continue
		}
		list := &unstructured.UnstructuredList{}
		list.SetGroupVersionKind(kind.GroupVersion().WithKind(kind.Kind + "List"))
		lists[kind.GroupVersionKind] = list
		all.Go(func() error {
			err := w.Client.List(w.Ctx, list, client.MatchingLabels{v1alpha1.ManagedLabel: v1alpha1.SingletonName})
			if err != nil && (kind.CRD == "" || !apimeta.IsNoMatchError(err) && !apierrors.IsNotFound(err)) {
				return fmt.Errorf("listing %s: %w", kind.Kind, err)
			}
			return nil
		})
	}
	if err := all.Wait(); err != nil {
		return nil, err
	}
	var objects []*unstructured.Unstructured
	for _, list := range lists {
		for i := range list.Items {
			objects = append(objects, &list.Items[i])
		}
	}
	slices.SortFunc(objects, func(a, b *unstructured.Unstructured) int { return strings.Compare(Identity(a), Identity(b)) })
	return objects, nil
}

// DeleteObjects deletes those of Objects that which selects, the APIServices first so that none leads nowhere, and returns
// their number.
func (w *World) DeleteObjects(which func(*unstructured.Unstructured) bool) (int, error) {
	objects, err := w.Objects()
	if err != nil {
		return 0, err
	}
	objects = slices.DeleteFunc(objects, func(object *unstructured.Unstructured) bool { return !which(object) })
	var apiServices error
	var others errgroup.Group
	for _, object := range objects { // APIServices come first.
		remove := func() error { return client.IgnoreNotFound(w.Client.Delete(w.Ctx, object)) }
		if object.GetKind() == "APIService" {
			apiServices = errors.Join(apiServices, remove())
		} else {
			others.Go(remove)
		}
	}
	return len(objects), errors.Join(apiServices, others.Wait())
}

// Everything selects every object.
func Everything(*unstructured.Unstructured) bool { return true }

// Identity returns the kind, namespace and name of an object, as the operator's messages have them.
func Identity(object client.Object) string { return ownership.Identity(object) }

// InOperatorNamespace returns the key of an object in the operator's namespace.
func InOperatorNamespace(name string) client.ObjectKey {
	return client.ObjectKey{Namespace: OperatorNamespace, Name: name}
}
