// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package autoscaler

import (
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
)

// scalingDisabled is the reason that the HPA controller gives to ScalingActive while the target has no replicas.
const scalingDisabled = "ScalingDisabled"

// Failing is true where an HPA does not work: a metric of its spec has no current value, or ScalingActive or AbleToScale is not True.
// ScalingActive alone does not say it: with one bad metric of two it stays True. A target without replicas is not a fault, and neither
// is an HPA that the HPA controller has not looked at yet (Pending).
func Failing(hpa *autoscalingv2.HorizontalPodAutoscaler) bool {
	if Pending(hpa) {
		return false
	}
	for _, condition := range hpa.Status.Conditions {
		switch condition.Type {
		case autoscalingv2.ScalingActive:
			if condition.Status != corev1.ConditionTrue && condition.Reason == scalingDisabled {
				return false
			}
		case autoscalingv2.AbleToScale:
		default: // ScalingLimited is no fault.
			continue
		}
		if condition.Status != corev1.ConditionTrue {
			return true
		}
	}
	return len(WithoutValue(hpa)) > 0
}

// Pending is true until the HPA controller has looked at an HPA.
func Pending(hpa *autoscalingv2.HorizontalPodAutoscaler) bool { return len(hpa.Status.Conditions) == 0 }

// WithoutValue returns the places in spec.metrics of those that have no current value.
func WithoutValue(hpa *autoscalingv2.HorizontalPodAutoscaler) []int {
	var without []int
	for i, metric := range hpa.Spec.Metrics {
		// The HPA controller writes one entry for each metric, in their order, and leaves that of a failing one empty.
		if i >= len(hpa.Status.CurrentMetrics) || hpa.Status.CurrentMetrics[i].Type != metric.Type {
			without = append(without, i)
		}
	}
	return without
}
