// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package health

import (
	"slices"

	apiregv1 "k8s.io/kube-aggregator/pkg/apis/apiregistration/v1"
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
