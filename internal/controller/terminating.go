// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"context"
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	apiregv1 "k8s.io/kube-aggregator/pkg/apis/apiregistration/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/predicate"

	"github.com/metricspipeline/operator/api/v1alpha1"
	"github.com/metricspipeline/operator/internal/component"
	scraping "github.com/metricspipeline/operator/internal/controller/monitors"
	"github.com/metricspipeline/operator/internal/health"
)

// terminating is true when the operator's namespace is being deleted. Then it has deleted its APIServices: what answers for
// them is about to go, in no order, and a dead APIService would hold up that very deletion and every other one
// (kubernetes/kubernetes#83332). kube-controller-manager begins to empty a namespace five seconds after its deletion.
func (r *Reconciler) terminating(ctx context.Context) (bool, error) {
	namespace := scraping.NamespaceMetadata()
	err := r.client.Get(ctx, client.ObjectKey{Name: r.Namespace}, namespace)
	if apierrors.IsNotFound(err) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("read Namespace %s: %w", r.Namespace, err)
	}
	if namespace.GetDeletionTimestamp().IsZero() {
		return false, nil
	}
	apiServices, err := r.metricsAPIs(ctx)
	if err != nil {
		return true, err
	}
	for _, apiService := range apiServices {
		if !health.Ours(apiService) {
			continue
		}
		if _, err := r.unregister(ctx, apiService); err != nil {
			return true, err
		}
	}
	return true, nil
}

// unregister deletes an APIService; false where it is gone already, and the cache has not seen it yet.
func (r *Reconciler) unregister(ctx context.Context, apiService *apiregv1.APIService) (bool, error) {
	if !apiService.DeletionTimestamp.IsZero() {
		return false, nil
	}
	apiService.SetGroupVersionKind(apiServiceKind)
	return r.applier.Delete(ctx, apiService)
}

// terminate lets the status say that nothing is done any more.
func (o *observation) terminate(namespace string) {
	o.terminating = fmt.Sprintf("Namespace %s, in which the operator and its components run, is being deleted, so the APIServices "+
		"are deleted and nothing is put back. To use the metrics pipeline again, install the operator anew.", namespace)
}

// omission is why there is no APIService of ours, if that was decided.
func (s *scope) omission(api component.API) *component.Omission {
	if s.observed.terminating != "" {
		return &component.Omission{Reason: v1alpha1.ReasonTerminating, Message: s.observed.terminating}
	}
	if omission, ok := s.plan.Omitted[api.Name()]; ok {
		return &omission
	}
	return nil
}

// dying lets through the events of one namespace once it is being deleted.
func dying(namespace string) predicate.Predicate {
	return predicate.NewPredicateFuncs(func(object client.Object) bool {
		return object.GetName() == namespace && !object.GetDeletionTimestamp().IsZero()
	})
}
