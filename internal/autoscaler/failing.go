// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package autoscaler

import (
	"slices"

	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
)

// scalingDisabled is the reason that the HPA controller gives to ScalingActive while the target has no replicas.
const scalingDisabled = "ScalingDisabled"

// Failing is true where an HPA does not work: a metric of its spec has no current value, or ScalingActive or AbleToScale is not True.
// ScalingActive alone does not say it: with one bad metric of two it stays True as long as the other one does not scale down. A target
// without replicas is not a fault, nor that its pods have no metrics then, nor is an HPA that the HPA controller has not looked at yet
// (Pending).
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
	atZero := AtZero(hpa)
	var places []int
	for i, current := range hpa.Status.CurrentMetrics {
		if current.Type == "" && (!atZero || !ofPods(hpa.Spec.Metrics[i].Type)) {
			places = append(places, i)
		}
	}
	return places
}

// AtZero is true while an HPA keeps its target at 0 replicas by itself (HPAScaleToZero, minReplicas 0): the HPA controller goes on to look
// at its metrics, and wakes the target by one of type Object or External. The condition alone does not say it: it stays where a person has
// scaled the target up.
func AtZero(hpa *autoscalingv2.HorizontalPodAutoscaler) bool {
	scaled := func(condition autoscalingv2.HorizontalPodAutoscalerCondition) bool {
		return condition.Type == autoscalingv2.ScaledToZero && condition.Status == corev1.ConditionTrue
	}
	return hpa.Status.CurrentReplicas == 0 && slices.ContainsFunc(hpa.Status.Conditions, scaled)
}

// ofPods is true of a metric that has no value while there are no pods.
func ofPods(kind autoscalingv2.MetricSourceType) bool {
	return kind != autoscalingv2.ObjectMetricSourceType && kind != autoscalingv2.ExternalMetricSourceType
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
