// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package pipeline

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	apiregv1 "k8s.io/kube-aggregator/pkg/apis/apiregistration/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/metricspipeline/operator/api/v1alpha1"
	"github.com/metricspipeline/operator/internal/cluster"
	"github.com/metricspipeline/operator/internal/kinds"
	"github.com/metricspipeline/operator/internal/metricsapi"
	"github.com/metricspipeline/operator/internal/operand"
	"github.com/metricspipeline/operator/internal/ownership"
)

// keeper decides what is certainly unwanted.
type keeper struct {
	facts cluster.Facts
	plan  operand.Plan
	// catalog has each component with its Service.
	catalog []operand.Component
	// settling is true while the earlier backend of an API stays after a switch.
	settling bool
	// desired are the identities of what should exist, and complete are the components of which all of that is known.
	desired, complete map[string]bool
}

// prune deletes what is certainly unwanted, APIServices first: the backend of one is kept until it is deleted. A kind that cannot
// be read, or an object that may not be deleted, keeps none of the others from being pruned.
func (r *Reconciler) prune(ctx context.Context, facts cluster.Facts, plan operand.Plan, outcomes []outcome) ([]string, error) {
	k := keeper{facts: facts, plan: plan, catalog: operand.Catalog(r.Operands), settling: r.settling() > 0,
		desired: map[string]bool{}, complete: map[string]bool{}}
	for _, outcome := range outcomes {
		k.complete[outcome.Component] = outcome.Complete
		for _, id := range outcome.Desired {
			k.desired[id] = true
		}
	}
	pruned, err := r.pruneUnlabeled(ctx, k)
	failures := []error{err}
	if len(pruned) > 0 {
		return pruned, err // Their deletion brings us back for the rest.
	}
	for _, kind := range kinds.Managed {
		if kind.CRD != "" && !facts.Served.Has(kind.CRD) {
			continue
		}
		deleted, err := r.Applier.Prune(ctx, []kinds.Kind{kind}, k.keeps)
		pruned = append(pruned, deleted...)
		failures = append(failures, err)
		if kind.GroupVersionKind == kinds.APIService.GroupVersionKind && len(deleted) > 0 {
			break // Their deletion brings us back for the rest.
		}
	}
	return pruned, errors.Join(failures...)
}

// settling returns for how long the earlier backend of a switched API stays; 0 where it need not. A restart forgets it.
func (r *Reconciler) settling() time.Duration {
	return max(0, r.Timing.Handover-time.Since(r.switched))
}

// pruneUnlabeled deletes those APIServices of ours that are no longer wanted and whose label was removed, by which the others
// are found.
func (r *Reconciler) pruneUnlabeled(ctx context.Context, k keeper) ([]string, error) {
	var deleted []string
	var failures []error
	for _, apiService := range k.facts.APIServices {
		if ownership.Labeled(apiService) || !ownership.Ours(apiService) || k.keeps(apiService) {
			continue
		}
		if _, err := r.registrar.Unregister(ctx, apiService); err != nil {
			failures = append(failures, fmt.Errorf("prune: %w", err))
			continue
		}
		deleted = append(deleted, ownership.Identity(apiService))
	}
	return deleted, errors.Join(failures...)
}

// keeps is true for what is desired, for what belongs to a component of which not all is known, and for what answers for an
// APIService, ours or foreign, or did until a moment ago: none may lead to something that we removed. An APIService of ours is
// pruned only where the spec does without it, or another owner serves it; a mistake takes none away.
func (k keeper) keeps(object client.Object) bool {
	component := object.GetLabels()[v1alpha1.ComponentLabel]
	if k.desired[ownership.Identity(object)] || component == ownership.MonitorsComponent {
		return true
	}
	if _, ok := object.(*apiregv1.APIService); ok {
		api, known := metricsapi.ByName(object.GetName())
		return known && !k.plan.Omitted.Unwanted(api)
	}
	if _, planned := k.plan.Component(component); planned {
		return !k.complete[component]
	}
	return k.settling || k.ledTo(component)
}

// ledTo is true when an APIService leads to the Service of a component. That of a component which is not known any more has its name.
func (k keeper) ledTo(component string) bool {
	name := component
	if index := slices.IndexFunc(k.catalog, func(c operand.Component) bool { return c.Name == component }); index >= 0 {
		name = k.catalog[index].Service
	}
	for _, apiService := range k.facts.APIServices {
		service := apiService.Spec.Service
		if service != nil && service.Name == name && service.Namespace == k.facts.Namespace {
			return true
		}
	}
	return false
}
