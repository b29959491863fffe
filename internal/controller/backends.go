// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"context"
	"errors"
	"slices"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/metricspipeline/operator/api/v1alpha1"
	"github.com/metricspipeline/operator/internal/apply"
	"github.com/metricspipeline/operator/internal/component"
	scraping "github.com/metricspipeline/operator/internal/controller/monitors"
	"github.com/metricspipeline/operator/internal/health"
)

// renderObjects builds the objects of the plan.
func (r *Reconciler) renderObjects(_ context.Context, s *scope) error {
	rendered, err := r.Renderer.Build(s.plan.Components)
	if err != nil {
		return &phaseError{v1alpha1.ConditionComponentsReady, v1alpha1.ReasonRenderFailed, true, err}
	}
	s.rendered = rendered
	return nil
}

// applyBackends writes everything but the APIServices.
func (r *Reconciler) applyBackends(ctx context.Context, s *scope) error {
	for _, c := range s.plan.Components {
		serves, found := s.serves[c.Name]
		if !found {
			continue
		}
		secret := tlsSecret(r.Namespace, c.ServingSecret(), c.Name, serves, s.bundles[c.Name])
		if err := r.applyOwned(ctx, s, secret, s.owners(c.Name)); err != nil {
			return err
		}
	}
	for _, rendered := range s.rendered {
		if s.held[rendered.Component] {
			continue
		}
		owners := s.owners(rendered.Component)
		for _, object := range rendered.Objects {
			if err := r.applyOwned(ctx, s, object, owners); err != nil {
				return err
			}
		}
	}
	return nil
}

// applyOwned writes one object with its owners.
func (r *Reconciler) applyOwned(ctx context.Context, s *scope, object *unstructured.Unstructured, owners []metav1.OwnerReference) error {
	_, err := r.writeOwned(ctx, s, object, owners, r.applier.Apply)
	return err
}

// writeOwned writes one object with its owners by a method of the applier. One that somebody else keeps changing is noted
// and left alone: it does not keep the others from being written.
func (r *Reconciler) writeOwned(
	ctx context.Context, s *scope, object *unstructured.Unstructured, owners []metav1.OwnerReference,
	write func(context.Context, *unstructured.Unstructured) (apply.Result, error),
) (apply.Result, error) {
	owned := object.DeepCopy()
	owned.SetOwnerReferences(owners)
	id := apply.Identity(owned)
	s.wanted[id] = true
	result, err := write(ctx, owned)
	var contested *apply.ContestedError
	if errors.As(err, &contested) {
		s.observed.contested = append(s.observed.contested, contested)
		s.lookAgain(contested.RetryAfter)
		return apply.Unchanged, nil
	}
	if err != nil {
		return apply.Unchanged, err
	}
	s.observed.wrote(id, result)
	return result, nil
}

// onlyAsRead lets an object be written only over the one that was read: where that is gone or has changed since, the API server
// answers a conflict.
func onlyAsRead(wanted *unstructured.Unstructured, read client.Object) {
	wanted.SetUID(read.GetUID())
	wanted.SetResourceVersion(read.GetResourceVersion())
}

// owners returns the owners of a component's objects: the pipeline, and each APIService that leads to the component.
// When the pipeline is deleted, garbage collection removes the APIServices, which have no other owner, and only then
// what answers for them; an APIService that is deleted alone takes nothing with it.
func (s *scope) owners(componentName string) []metav1.OwnerReference {
	owners := []metav1.OwnerReference{pipelineOwner(s.pipeline)}
	for _, api := range component.APIs() {
		apiService := s.apiServices[api.Name()]
		if apiService == nil || !health.Ours(apiService) || apiService.Labels[v1alpha1.ComponentLabel] != componentName {
			continue
		}
		owners = append(owners, metav1.OwnerReference{
			APIVersion: "apiregistration.k8s.io/v1", Kind: "APIService", Name: apiService.Name, UID: apiService.UID})
	}
	return owners
}

// pipelineOwner does not block the deletion of its owner: that would need rights on the pipeline's finalizers.
func pipelineOwner(pipeline *v1alpha1.MetricsPipeline) metav1.OwnerReference {
	return metav1.OwnerReference{
		APIVersion: v1alpha1.GroupVersion.String(), Kind: "MetricsPipeline", Name: pipeline.Name, UID: pipeline.UID,
		Controller: ptr.To(true),
	}
}

// prune deletes what is no longer wanted, APIServices first: what answers for one is kept until it is gone.
func (r *Reconciler) prune(ctx context.Context, s *scope) error {
	unlabeled, err := r.pruneUnlabeled(ctx, s)
	if err != nil || unlabeled {
		return err // Their deletion brings us back for the rest.
	}
	for _, kind := range apply.Kinds {
		if kind.CRD != "" && !s.served.Has(kind.CRD) {
			continue
		}
		deleted, err := r.applier.Prune(ctx, []apply.Kind{kind}, s.keeps)
		s.observed.pruned = append(s.observed.pruned, deleted...)
		if err != nil {
			return err
		}
		if len(deleted) > 0 && kind.GroupVersionKind == apiServiceKind {
			return nil // Their deletion brings us back for the rest.
		}
	}
	return nil
}

// pruneUnlabeled deletes those APIServices of ours that are no longer wanted and that somebody took the label from, by which
// the others are found. It returns true when it deleted one.
func (r *Reconciler) pruneUnlabeled(ctx context.Context, s *scope) (bool, error) {
	deleted := false
	for _, apiService := range s.apiServices {
		apiService.SetGroupVersionKind(apiServiceKind)
		labeled := apiService.Labels[v1alpha1.ManagedLabel] == v1alpha1.SingletonName
		if labeled || !health.Ours(apiService) || s.keeps(apiService) {
			continue
		}
		if _, err := r.unregister(ctx, apiService); err != nil {
			return deleted, err
		}
		s.observed.pruned = append(s.observed.pruned, apply.Identity(apiService))
		deleted = true
	}
	return deleted, nil
}

// keeps is true for what is wanted, for what belongs to a component that is kept as it is, and for what answers for an
// APIService, whoever writes that: no APIService may lead to something that we removed.
func (s *scope) keeps(object client.Object) bool {
	owner := object.GetLabels()[v1alpha1.ComponentLabel]
	if s.wanted[apply.Identity(object)] || owner == scraping.ComponentName {
		return true
	}
	if isAPIService(object) {
		return s.held[owner] && !s.plan.Omitted[object.GetName()].Withheld()
	}
	return s.held[owner] || !s.planned(owner) && s.ledTo(owner)
}

func (s *scope) planned(componentName string) bool {
	return slices.ContainsFunc(s.plan.Components, func(c component.Component) bool { return c.Name == componentName })
}

// ledTo is true when an APIService leads to the Service of a component.
func (s *scope) ledTo(componentName string) bool {
	for _, apiService := range s.apiServices {
		service := apiService.Spec.Service
		if service != nil && service.Name == componentName && service.Namespace == s.namespace {
			return true
		}
	}
	return false
}
