// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"context"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/metricspipeline/operator/api/v1alpha1"
	"github.com/metricspipeline/operator/internal/apply"
	"github.com/metricspipeline/operator/internal/component"
	"github.com/metricspipeline/operator/internal/controller/scraping"
	"github.com/metricspipeline/operator/internal/health"
)

// renderObjects builds the objects of the plan.
func (r *Reconciler) renderObjects(_ context.Context, s *scope) error {
	rendered, err := r.render.Build(s.plan.Components)
	if err != nil {
		return &phaseError{v1alpha1.ConditionComponentsReady, v1alpha1.ReasonRenderFailed, true, err}
	}
	s.rendered = rendered
	return nil
}

// applyBackends writes everything but the APIServices.
func (r *Reconciler) applyBackends(ctx context.Context, s *scope) error {
	for _, stored := range s.pairs {
		bundle, ok := s.bundles[stored.component]
		if !ok {
			bundle = stored.pair.Cert
		}
		if err := r.applyOwned(ctx, s, tlsSecret(r.Namespace, stored, bundle), s.owners(stored.component)); err != nil {
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
	owned := object.DeepCopy()
	owned.SetOwnerReferences(owners)
	id := apply.Identity(owned)
	s.wanted[id] = true
	result, err := r.applier.Apply(ctx, owned)
	if err != nil {
		return err
	}
	s.observed.wrote(id, result)
	return nil
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
	keep := func(object client.Object) bool {
		owner := object.GetLabels()[v1alpha1.ComponentLabel]
		return s.wanted[apply.Identity(object)] || s.held[owner] || owner == scraping.ComponentName
	}
	for _, kind := range apply.Kinds {
		if kind.Optional && !s.serviceMonitors {
			continue
		}
		deleted, err := r.applier.Prune(ctx, []apply.Kind{kind}, keep)
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
