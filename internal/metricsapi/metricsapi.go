// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

// Package metricsapi has the metrics APIs: which there are, what the spec says of each, and whether the operator is to serve
// it. What serves it is no concern of this package.
package metricsapi

import "github.com/metricspipeline/operator/api/v1alpha1"

// API is one version of a metrics API.
type API struct {
	// Group and Version that the API server delegates.
	Group, Version string
	// VersionPriority orders the versions of one group, the highest first.
	VersionPriority int32
}

// Name of the APIService.
func (a API) Name() string { return a.Version + "." + a.Group }

// The metrics APIs, in the order in which they are reported.
var (
	Resource      = API{Group: "metrics.k8s.io", Version: "v1beta1", VersionPriority: 100}
	CustomV1Beta1 = API{Group: "custom.metrics.k8s.io", Version: "v1beta1", VersionPriority: 100}
	CustomV1Beta2 = API{Group: "custom.metrics.k8s.io", Version: "v1beta2", VersionPriority: 200}
	External      = API{Group: "external.metrics.k8s.io", Version: "v1beta1", VersionPriority: 100}
)

// All returns every metrics API there is, whether it is wanted or not.
func All() []API { return []API{Resource, CustomV1Beta1, CustomV1Beta2, External} }

// ByName returns the metrics API that an APIService registers; false where it is none.
func ByName(apiService string) (API, bool) {
	for _, api := range All() {
		if api.Name() == apiService {
			return api, true
		}
	}
	return API{}, false
}

// Options returns what a spec says about a metrics API, whatever serves it.
func Options(spec v1alpha1.MetricsPipelineSpec, group string) v1alpha1.APIOptions {
	switch group {
	case Resource.Group:
		return spec.ResourceMetrics.APIOptions
	case CustomV1Beta1.Group:
		return spec.CustomMetrics.APIOptions
	default:
		return spec.ExternalMetrics.APIOptions
	}
}

// Field returns the field of the spec that is about a metrics API.
func Field(group string) string {
	switch group {
	case Resource.Group:
		return "spec.resourceMetrics"
	case CustomV1Beta1.Group:
		return "spec.customMetrics"
	default:
		return "spec.externalMetrics"
	}
}
