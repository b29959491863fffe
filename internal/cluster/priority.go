// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/selection"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// SystemPriorityClass is the priority class of what a cluster cannot do without.
const SystemPriorityClass = "system-cluster-critical"

// systemPriority is true where pods of the operator's namespace are sure to be admitted with the class SystemPriorityClass. The API
// server of some clusters (GKE's, by its configuration for quotas, which nothing publishes) admits it outside of kube-system only
// where a ResourceQuota for it is. Where it would admit the class without one, a quota is all that has to be added; where it would
// not, pods that name the class never start.
func (s *Source) systemPriority(ctx context.Context) (bool, error) {
	var quotas corev1.ResourceQuotaList
	if err := s.Client.List(ctx, &quotas, client.InNamespace(s.Namespace)); err != nil {
		return false, fmt.Errorf("list ResourceQuotas of namespace %s: %w", s.Namespace, err)
	}
	admitted := s.Namespace == metav1.NamespaceSystem
	for _, quota := range quotas.Items {
		if !selects(quota.Spec, SystemPriorityClass) {
			continue
		}
		if pods, limited := quota.Spec.Hard[corev1.ResourcePods]; limited && pods.IsZero() {
			return false, nil // It is there to keep the class out.
		}
		admitted = true
	}
	return admitted, nil
}

// selects is true for a quota of the pods of a priority class, whatever else they are.
func selects(quota corev1.ResourceQuotaSpec, class string) bool {
	found := false
	for _, scope := range quota.Scopes {
		if scope != corev1.ResourceQuotaScopePriorityClass {
			return false
		}
		found = true // Of pods that name any class.
	}
	if quota.ScopeSelector == nil {
		return found
	}
	for _, expression := range quota.ScopeSelector.MatchExpressions {
		operator, known := operators[expression.Operator]
		if expression.ScopeName != corev1.ResourceQuotaScopePriorityClass || !known {
			return false
		}
		requirement, err := labels.NewRequirement(string(expression.ScopeName), operator, expression.Values)
		if err != nil || !requirement.Matches(labels.Set{string(expression.ScopeName): class}) {
			return false
		}
		found = true
	}
	return found
}

// operators of a quota's scopes, as label selectors have them.
var operators = map[corev1.ScopeSelectorOperator]selection.Operator{
	corev1.ScopeSelectorOpIn:           selection.In,
	corev1.ScopeSelectorOpNotIn:        selection.NotIn,
	corev1.ScopeSelectorOpExists:       selection.Exists,
	corev1.ScopeSelectorOpDoesNotExist: selection.DoesNotExist,
}
