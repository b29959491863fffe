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
// ScalingActive alone does not say it: with one bad metric of two it stays True as long as the other one does not scale down. A target
// without replicas is not a fault, and neither is an HPA that the HPA controller has not looked at yet (Pending).
func Failing(hpa *autoscalingv2.HorizontalPodAutoscaler) bool {
	if notTrue(hpa, autoscalingv2.AbleToScale) != nil {
		return true // What the other conditions say is of an earlier time: the HPA controller stops where it finds no scale.
	}
	if active := notTrue(hpa, autoscalingv2.ScalingActive); active != nil {
		return active.Reason != scalingDisabled
	}
	return len(empty(hpa)) > 0
}

// Pending is true until the HPA controller has looked at an HPA.
func Pending(hpa *autoscalingv2.HorizontalPodAutoscaler) bool { return len(hpa.Status.Conditions) == 0 }

// WithoutValue returns the places in spec.metrics of those that have no current value, of an HPA that fails.
func WithoutValue(hpa *autoscalingv2.HorizontalPodAutoscaler) []int {
	if !Failing(hpa) {
		return nil
	}
	if without := empty(hpa); len(without) > 0 {
		return without
	}
	// Nothing was computed: there is no scale, or no selector, or another HPA selects the same pods. Values are of an earlier time.
	all := make([]int, len(hpa.Spec.Metrics))
	for i := range all {
		all[i] = i
	}
	return all
}

// empty returns the places of metrics that the HPA controller could not compute: it writes one entry for each metric of the spec, in
// their order, and leaves that of a failing one empty. It writes no entry at all where it computed none of them, as while it only brings
// the replicas back between minReplicas and maxReplicas; and as many as the spec had before, until it has looked at a changed one.
func empty(hpa *autoscalingv2.HorizontalPodAutoscaler) []int {
	if len(hpa.Status.CurrentMetrics) != len(hpa.Spec.Metrics) {
		return nil
	}
	var places []int
	for i, current := range hpa.Status.CurrentMetrics {
		if current.Type == "" {
			places = append(places, i)
		}
	}
	return places
}

// notTrue returns a condition that is there and not True.
func notTrue(
	hpa *autoscalingv2.HorizontalPodAutoscaler, name autoscalingv2.HorizontalPodAutoscalerConditionType,
) *autoscalingv2.HorizontalPodAutoscalerCondition {
	for i := range hpa.Status.Conditions {
		if condition := &hpa.Status.Conditions[i]; condition.Type == name && condition.Status != corev1.ConditionTrue {
			return condition
		}
	}
	return nil
}
