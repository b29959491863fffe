// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package v1alpha1

// AutoscalersStatus counts the HorizontalPodAutoscalers of the cluster by whether they work.
type AutoscalersStatus struct {
	// total counts the HPAs.
	// +optional
	Total int32 `json:"total"`

	// working counts those whose metrics all have a value. One that the HPA controller has not looked at yet neither works nor fails.
	// +optional
	Working int32 `json:"working"`

	// failing are HPAs that fail and why, at most 50 of them, of each namespace one in turn. One that has just been made, or that fails
	// for a moment only, is not among them.
	// +optional
	// +listType=map
	// +listMapKey=namespace
	// +listMapKey=name
	Failing []AutoscalerFailure `json:"failing,omitempty"`
}

// AutoscalerFailure says why an HPA fails.
type AutoscalerFailure struct {
	// namespace of the HPA.
	// +required
	Namespace string `json:"namespace,omitempty"`

	// name of the HPA.
	// +required
	Name string `json:"name,omitempty"`

	// metric that has no value, such as Pods http_requests_per_second.
	// +optional
	Metric string `json:"metric,omitempty"`

	// reason is one of those of docs/autoscalers.md.
	// +required
	Reason string `json:"reason,omitempty"`

	// message names the cause and the remedy.
	// +required
	Message string `json:"message,omitempty"`

	// seriesElsewhere counts the series that the rule of the metric has in other namespaces, where it has none in the HPA's own. It is
	// said here alone: message and Event are about the HPA's own namespace. Unset where there are none, or none were counted.
	// +optional
	SeriesElsewhere int32 `json:"seriesElsewhere,omitempty"`
}
