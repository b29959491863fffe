// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package pipeline

import (
	"context"
	"errors"
	"slices"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/metricspipeline/operator/internal/apply"
	"github.com/metricspipeline/operator/internal/cluster"
	"github.com/metricspipeline/operator/internal/health"
	"github.com/metricspipeline/operator/internal/operand"
	"github.com/metricspipeline/operator/internal/ownership"
	"github.com/metricspipeline/operator/internal/render"
)

// apply writes the objects. One that fails keeps none of the others from being written, and one that is refused is put into its
// last good form: what runs is repaired although it cannot be changed. Pods and what they are made from change together or not at
// all.
func (l *ladder) apply(ctx context.Context) error {
	if l.certificate == nil && l.component.Serving != "" && l.component.LastGood == nil {
		return nil // Its pods could not start.
	}
	// One that was built may have none, as where the operator has a certificate for its metrics and nothing else that monitors it.
	l.applied, l.outcome.Complete = true, len(l.objects) > 0 || l.component.Retained == ""
	refused := l.refused(ctx) || !l.grant(ctx)
	l.accepted = !refused
	for _, object := range l.objects {
		switch pods := l.ofPods(object); {
		case pods && refused: // Put back below, all at once.
		case render.MakesPods(object) && !l.accepted:
			l.outcome.Desired = append(l.outcome.Desired, ownership.Identity(object))
		default:
			refusal := l.put(ctx, object)
			refused = refused || refusal && pods
		}
	}
	for _, object := range l.objects {
		if refused && l.ofPods(object) {
			l.restore(ctx, object)
		}
	}
	return nil
}

// ofPods is true of what makes pods and what they are made from.
func (l *ladder) ofPods(object *unstructured.Unstructured) bool {
	kind := object.GetKind()
	return len(l.component.Workloads) > 0 && (render.MakesPods(object) || kind == "ConfigMap" || kind == "ServiceAccount")
}

// grant stores what the pods present to what they query, and returns false where that cannot be: no pod is made that could not start.
func (l *ladder) grant(ctx context.Context) bool {
	if len(l.component.Access) == 0 || l.component.AccessSecret == "" {
		return true
	}
	_, err := l.write(ctx, l.component.AccessObject(), l.owners, l.Applier.Apply)
	if err != nil {
		l.failed(ctx, err)
	}
	return err == nil
}

// refused is true when the API server has refused something that pods are made from, and would again.
func (l *ladder) refused(ctx context.Context) bool {
	refused := false
	for _, object := range l.objects {
		if !l.ofPods(object) {
			continue
		}
		if err := l.Applier.Refused(ctx, l.owned(object, l.owners)); err != nil {
			l.failed(ctx, err)
			refused = true
		}
	}
	return refused
}

// put writes an object, and returns true when the API server refuses it. Then it stays, or is put back, in its last good form.
func (l *ladder) put(ctx context.Context, object *unstructured.Unstructured) bool {
	by := l.Applier.Apply
	if object.GetKind() == "Service" {
		by = l.applyService
	}
	contested := len(l.outcome.Contested)
	_, err := l.write(ctx, object, l.owners, by)
	if len(l.outcome.Contested) > contested && l.ofPods(object) {
		l.unsure, l.podsUnsure = true, true
		return false
	}
	if err == nil {
		l.form = append(l.form, object)
		return false
	}
	l.failed(ctx, err)
	var refused *apply.RefusedError
	isRefused := errors.As(err, &refused)
	l.unsure = l.unsure || !isRefused
	if l.ofPods(object) {
		l.accepted = false // Put back, where it is refused, with all that pods are made from.
	} else if isRefused {
		l.restore(ctx, object)
	}
	return isRefused
}

// applyService writes a Service. It selects the pods of a Deployment that had to be replaced only once one of them is available, and
// until then those that the earlier one left behind.
func (l *ladder) applyService(ctx context.Context, service *unstructured.Unstructured) (apply.Result, error) {
	settled, err := l.settled(ctx)
	if err != nil {
		return apply.Unchanged, err
	}
	if !settled {
		if service, err = l.Applier.RetainSelector(ctx, service); err != nil {
			return apply.Unchanged, err
		}
	}
	return l.Applier.Apply(ctx, service)
}

// settled is true when every Deployment of the component serves.
func (l *ladder) settled(ctx context.Context) (bool, error) {
	workloads, err := l.workloads(ctx, l.component.Component)
	unsettled := slices.ContainsFunc(workloads, func(w cluster.Workload) bool { return !l.serving(w) })
	return err == nil && !unsettled, err
}

// serving is true when a Deployment is rolled out as it was last written, and has an available pod. Without one, what answers for the
// component are pods that an earlier Deployment left behind.
func (l *ladder) serving(w cluster.Workload) bool {
	return w.Deployment != nil && w.Deployment.DeletionTimestamp.IsZero() && w.Deployment.Status.AvailableReplicas > 0 &&
		!l.Applier.Behind(w.Deployment, ownership.Identity(w.Deployment)) && health.RolledOut(w.Deployment)
}

// sweep deletes what replaced Deployments have left behind, once the new ones serve.
func (l *ladder) sweep(ctx context.Context) error {
	if len(l.component.Workloads) == 0 {
		return nil
	}
	settled, err := l.settled(ctx)
	probed := l.component.Service != "" && l.component.Serving != ""
	if err != nil || !settled || probed && !allYes(l.answers) {
		return err
	}
	_, err = l.Applier.DeleteOrphans(ctx, l.component.Namespace, l.component.Name)
	return err
}

// restore writes an object in its last good form, if it has one.
func (l *ladder) restore(ctx context.Context, object *unstructured.Unstructured) {
	l.outcome.Desired = append(l.outcome.Desired, ownership.Identity(object))
	if l.component.LastGood == nil {
		return
	}
	same := func(good *unstructured.Unstructured) bool {
		return ownership.Identity(good) == ownership.Identity(object)
	}
	index := slices.IndexFunc(l.component.LastGood.Objects, same)
	if index < 0 {
		return
	}
	good := l.component.LastGood.Objects[index]
	if _, err := l.write(ctx, good, l.owners, l.Applier.Apply); err != nil {
		l.failed(ctx, err)
		return
	}
	l.form = append(l.form, good)
}

// remember stores the form of a component whose pods the API server has accepted.
func (l *ladder) remember(ctx context.Context) error {
	form := operand.LastGood{Component: l.component.Described(), Objects: l.form, Memory: l.component.Memory}
	if l.retained() != "" || l.unsure || len(l.form) == 0 && len(l.objects) > 0 {
		if l.component.LastGood == nil {
			return nil
		}
		form = *l.component.LastGood // As it was stored.
	}
	object, err := form.Object()
	if err != nil {
		return err
	}
	if _, err = l.write(ctx, object, l.owners, l.Applier.Apply); err == nil {
		l.forms[l.component.Name] = &form
	}
	return err
}

// write writes one object with its owners by a method of the applier. A contested one is recorded and left alone: it does not
// keep the others from being written.
func (l *ladder) write(
	ctx context.Context, object *unstructured.Unstructured, owners []metav1.OwnerReference, by method,
) (apply.Result, error) {
	l.outcome.Desired = append(l.outcome.Desired, ownership.Identity(object))
	return l.outcome.write(ctx, l.owned(object, owners), by)
}

// owned returns an object with its owners.
func (l *ladder) owned(object *unstructured.Unstructured, owners []metav1.OwnerReference) *unstructured.Unstructured {
	owned := object.DeepCopy()
	owned.SetOwnerReferences(owners)
	return owned
}

// method is one of the applier's that write an object.
type method func(context.Context, *unstructured.Unstructured) (apply.Result, error)

func (o *outcome) write(ctx context.Context, object *unstructured.Unstructured, by method) (apply.Result, error) {
	result, err := by(ctx, object)
	var contested *apply.ContestedError
	var refused *apply.RefusedError
	switch {
	case errors.As(err, &contested):
		o.Contested = append(o.Contested, contested)
		o.requeueAfter = operand.Sooner(o.requeueAfter, contested.RetryAfter)
		return apply.Unchanged, nil
	case errors.As(err, &refused):
		o.requeueAfter = operand.Sooner(o.requeueAfter, refused.RetryAfter)
	}
	if err != nil {
		return apply.Unchanged, err
	}
	switch id := ownership.Identity(object); result {
	case apply.Created:
		o.Created = append(o.Created, id)
	case apply.Repaired:
		o.Repaired = append(o.Repaired, id)
	case apply.Unchanged, apply.Configured, apply.Replaced:
	}
	return result, nil
}

// writer is the applier as the providers of certificates use it. What it does is part of the outcome of the component that a
// certificate is for.
type writer struct {
	applier *apply.Applier
	into    *outcome
}

// Apply stores an object as it is.
func (w *writer) Apply(ctx context.Context, object client.Object) error {
	converted, err := apply.FromTyped(object)
	if err == nil {
		_, err = w.into.write(ctx, converted, w.applier.Apply)
	}
	return err
}

// Contested returns an error for a contested object.
func (w *writer) Contested(ctx context.Context, object client.Object) error {
	reference := &unstructured.Unstructured{}
	reference.SetGroupVersionKind(object.GetObjectKind().GroupVersionKind())
	reference.SetNamespace(object.GetNamespace())
	reference.SetName(object.GetName())
	return w.applier.Contested(ctx, reference)
}
