// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package health

import (
	"fmt"
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	apiregv1 "k8s.io/kube-aggregator/pkg/apis/apiregistration/v1"

	"github.com/metricspipeline/operator/api/v1alpha1"
)

// Availability returns an APIService's condition Available, as kube-aggregator gives it; false before it has looked.
func Availability(apiService *apiregv1.APIService) (apiregv1.APIServiceCondition, bool) {
	index := slices.IndexFunc(apiService.Status.Conditions, func(c apiregv1.APIServiceCondition) bool {
		return c.Type == apiregv1.Available
	})
	if index < 0 {
		return apiregv1.APIServiceCondition{}, false
	}
	return apiService.Status.Conditions[index], true
}

// Ours is true for an APIService that belongs to the pipeline: by its label or, where somebody took that away, because
// its caBundle is still the one that we applied. Without the second, a lost label would make us give up the backend of an
// APIService that still leads to it.
func Ours(apiService *apiregv1.APIService) bool {
	return apiService.Labels[v1alpha1.ManagedLabel] == v1alpha1.SingletonName || applied(apiService)
}

func applied(apiService *apiregv1.APIService) bool {
	return slices.ContainsFunc(apiService.ManagedFields, func(entry metav1.ManagedFieldsEntry) bool {
		return entry.Manager == v1alpha1.FieldManager && entry.Operation == metav1.ManagedFieldsOperationApply &&
			entry.FieldsV1 != nil && strings.Contains(entry.FieldsV1.GetRawString(), `"f:caBundle"`)
	})
}

// Owner says who an APIService belongs to: the pipeline, or the field manager that made it and the Service that it
// leads to.
func Owner(apiService *apiregv1.APIService) string {
	if Ours(apiService) {
		return "MetricsPipeline " + v1alpha1.SingletonName
	}
	owner := "unknown"
	for _, entry := range apiService.ManagedFields {
		// kube-apiserver only writes the status.
		if entry.Subresource == "" && entry.Operation != "" {
			owner = entry.Manager
			break
		}
	}
	if service := apiService.Spec.Service; service != nil {
		return fmt.Sprintf("%s (service %s/%s)", owner, service.Namespace, service.Name)
	}
	return owner
}
