// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package autoscaler

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
)

const (
	isTrue    = corev1.ConditionTrue
	isFalse   = corev1.ConditionFalse
	isUnknown = corev1.ConditionUnknown
)

func status(
	name autoscalingv2.HorizontalPodAutoscalerConditionType, status corev1.ConditionStatus, reason string,
) autoscalingv2.HorizontalPodAutoscalerCondition {
	return autoscalingv2.HorizontalPodAutoscalerCondition{Type: name, Status: status, Reason: reason}
}

// TestFailing has what the HPA controller writes in each case, as pkg/controller/podautoscaler/horizontal.go of Kubernetes v1.36 does, and
// of v1.37 where HPAScaleToZero is enabled.
func TestFailing(t *testing.T) {
	able := status(autoscalingv2.AbleToScale, isTrue, "ReadyForNewScale")
	active := status(autoscalingv2.ScalingActive, isTrue, "ValidMetricFound")
	within := status(autoscalingv2.ScalingLimited, isFalse, "DesiredWithinRange")
	resource := autoscalingv2.MetricStatus{Type: autoscalingv2.ResourceMetricSourceType, Resource: &autoscalingv2.ResourceMetricStatus{}}
	pods := autoscalingv2.MetricStatus{Type: autoscalingv2.PodsMetricSourceType, Pods: &autoscalingv2.PodsMetricStatus{}}
	none := autoscalingv2.MetricStatus{}

	type conditions = []autoscalingv2.HorizontalPodAutoscalerCondition
	type current = []autoscalingv2.MetricStatus
	for name, tc := range map[string]struct {
		metrics    []autoscalingv2.MetricSourceType
		conditions conditions
		current    current
		replicas   int32
		without    []int
	}{
		"not looked at yet": {metrics: []autoscalingv2.MetricSourceType{"Resource"}},
		"works": {
			metrics: []autoscalingv2.MetricSourceType{"Resource"}, conditions: conditions{able, active, within}, current: current{resource},
		},
		"limited by maxReplicas": {
			metrics: []autoscalingv2.MetricSourceType{"Resource"}, current: current{resource},
			conditions: conditions{able, active, status(autoscalingv2.ScalingLimited, isTrue, "TooManyReplicas")},
		},
		"the only metric fails": {
			metrics: []autoscalingv2.MetricSourceType{"Pods"}, current: current{none}, without: []int{0},
			conditions: conditions{able, status(autoscalingv2.ScalingActive, isFalse, "FailedGetPodsMetric")},
		},
		"one bad metric of two, and the other one scales up": {
			metrics:    []autoscalingv2.MetricSourceType{"Resource", "Pods"},
			conditions: conditions{able, active, within}, current: current{resource, none}, without: []int{1},
		},
		"one bad metric of two, and the other one would scale down": {
			metrics: []autoscalingv2.MetricSourceType{"Pods", "Resource"}, current: current{none, resource}, without: []int{0},
			conditions: conditions{able, status(autoscalingv2.ScalingActive, isFalse, "FailedGetPodsMetric"), within},
		},
		"two metrics of one type, of which the second is bad": {
			metrics:    []autoscalingv2.MetricSourceType{"Pods", "Pods"},
			conditions: conditions{able, active, within}, current: current{pods, none}, without: []int{1},
		},
		"all metrics fail, and an older controller leaves the values of an earlier time (kubernetes#119788)": {
			metrics: []autoscalingv2.MetricSourceType{"Resource", "Pods"}, current: current{resource, pods}, without: []int{0, 1},
			conditions: conditions{able, status(autoscalingv2.ScalingActive, isFalse, "FailedGetResourceMetric")},
		},
		"the target is gone, and all else is of an earlier time": {
			metrics: []autoscalingv2.MetricSourceType{"Resource"}, current: current{resource}, without: []int{0},
			conditions: conditions{status(autoscalingv2.AbleToScale, isFalse, "FailedGetScale"), active, within},
		},
		"the target was gone from the beginning": {
			metrics: []autoscalingv2.MetricSourceType{"Resource"}, without: []int{0},
			conditions: conditions{status(autoscalingv2.AbleToScale, isFalse, "FailedGetScale")},
		},
		"the target had no replicas, and is gone": {
			metrics: []autoscalingv2.MetricSourceType{"Resource"}, without: []int{0},
			conditions: conditions{
				status(autoscalingv2.ScalingActive, isFalse, "ScalingDisabled"), status(autoscalingv2.AbleToScale, isFalse, "FailedGetScale"),
			},
		},
		"the new number of replicas is refused": {
			metrics: []autoscalingv2.MetricSourceType{"Resource"}, current: current{resource}, without: []int{0},
			conditions: conditions{status(autoscalingv2.AbleToScale, isFalse, "FailedUpdateScale"), active, within},
		},
		"the target has no replicas": {
			metrics:    []autoscalingv2.MetricSourceType{"Resource"},
			conditions: conditions{able, status(autoscalingv2.ScalingActive, isFalse, "ScalingDisabled")},
		},
		"scaled to zero by itself, by a metric that works": {
			metrics: []autoscalingv2.MetricSourceType{"External"}, current: current{{Type: autoscalingv2.ExternalMetricSourceType}},
			conditions: conditions{able, active, within, status(autoscalingv2.ScaledToZero, isTrue, "ScaledToZero")},
		},
		"not scaled to zero, which is no fault": {
			metrics: []autoscalingv2.MetricSourceType{"External"}, current: current{{Type: autoscalingv2.ExternalMetricSourceType}},
			conditions: conditions{able, active, within, status(autoscalingv2.ScaledToZero, isFalse, "NotScaledToZero")},
		},
		"scaled to zero by itself, and the metric that is to wake it fails": {
			metrics: []autoscalingv2.MetricSourceType{"External"}, current: current{none}, without: []int{0},
			conditions: conditions{
				able, status(autoscalingv2.ScalingActive, isFalse, "FailedGetExternalMetric"),
				status(autoscalingv2.ScaledToZero, isTrue, "ScaledToZero"),
			},
		},
		"scaled to zero by itself, and cpu has no value beside the metric that wakes it": {
			metrics: []autoscalingv2.MetricSourceType{"External", "Resource", "Pods", "ContainerResource"},
			current: current{{Type: autoscalingv2.ExternalMetricSourceType}, none, none, none},
			// Of no pod nothing is measured, and the invalid metrics do not make ScalingActive False: the others do not scale down from 0.
			conditions: conditions{able, active, within, status(autoscalingv2.ScaledToZero, isTrue, "ScaledToZero")},
		},
		"scaled to zero by itself, and the metric that is to wake it fails, as cpu does": {
			metrics: []autoscalingv2.MetricSourceType{"Resource", "Object"}, current: current{none, none}, without: []int{1},
			conditions: conditions{
				able, status(autoscalingv2.ScalingActive, isFalse, "FailedGetResourceMetric"), status(autoscalingv2.ScaledToZero, isTrue, "ScaledToZero"),
			},
		},
		"scaled to zero by itself, and by a person to 3, of which cpu has no value": {
			metrics: []autoscalingv2.MetricSourceType{"External", "Resource"}, replicas: 3, without: []int{1},
			current:    current{{Type: autoscalingv2.ExternalMetricSourceType}, none},
			conditions: conditions{able, active, within, status(autoscalingv2.ScaledToZero, isTrue, "ScaledToZero")},
		},
		"scaled to zero by a person, with minReplicas 0": {
			metrics: []autoscalingv2.MetricSourceType{"External"}, current: nil,
			conditions: conditions{
				able, status(autoscalingv2.ScalingActive, isFalse, "ScalingDisabled"), status(autoscalingv2.ScaledToZero, isFalse, "NotScaledToZero"),
			},
		},
		"woken from zero": {
			metrics: []autoscalingv2.MetricSourceType{"External"}, current: current{{Type: autoscalingv2.ExternalMetricSourceType}},
			conditions: conditions{
				status(autoscalingv2.AbleToScale, isTrue, "SucceededRescale"), active, within, status(autoscalingv2.ScaledToZero, isFalse, "NotScaledToZero"),
			},
		},
		"another HPA selects the same pods": {
			metrics: []autoscalingv2.MetricSourceType{"Resource", "Pods"}, without: []int{0, 1},
			conditions: conditions{able, status(autoscalingv2.ScalingActive, isFalse, "AmbiguousSelector")},
		},
		"the replicas are only brought to minReplicas, without a look at a metric": {
			metrics:    []autoscalingv2.MetricSourceType{"Resource"},
			conditions: conditions{status(autoscalingv2.AbleToScale, isTrue, "SucceededRescale")},
		},
		"the same of an HPA that worked before": {
			metrics:    []autoscalingv2.MetricSourceType{"Resource"},
			conditions: conditions{status(autoscalingv2.AbleToScale, isTrue, "SucceededRescale"), active, within},
		},
		"a metric was added, and the HPA controller has not looked at it yet": {
			metrics:    []autoscalingv2.MetricSourceType{"Resource", "Pods"},
			conditions: conditions{able, active, within}, current: current{resource},
		},
		"a bad metric was removed, and the HPA controller has not looked at that yet": {
			metrics:    []autoscalingv2.MetricSourceType{"Resource"},
			conditions: conditions{able, active, within}, current: current{none, resource},
		},
		"a metric was replaced, and the HPA controller has not looked at that yet": {
			metrics:    []autoscalingv2.MetricSourceType{"Pods"},
			conditions: conditions{able, active, within}, current: current{resource},
		},
		"ScalingActive is not known": {
			metrics: []autoscalingv2.MetricSourceType{"Resource"}, current: current{resource}, without: []int{0},
			conditions: conditions{able, status(autoscalingv2.ScalingActive, isUnknown, "")},
		},
	} {
		t.Run(name, func(t *testing.T) {
			hpa := &autoscalingv2.HorizontalPodAutoscaler{
				Status: autoscalingv2.HorizontalPodAutoscalerStatus{CurrentReplicas: tc.replicas, Conditions: tc.conditions,
					CurrentMetrics: tc.current},
			}
			for _, source := range tc.metrics {
				hpa.Spec.Metrics = append(hpa.Spec.Metrics, autoscalingv2.MetricSpec{Type: source})
			}
			if diff := cmp.Diff(tc.without, WithoutValue(hpa)); diff != "" {
				t.Errorf("metrics without a value (-want +got):\n%s", diff)
			}
			if got, want := Failing(hpa), len(tc.without) > 0; got != want {
				t.Errorf("Failing is %t, want %t", got, want)
			}
			if got, want := Pending(hpa), len(tc.conditions) == 0; got != want {
				t.Errorf("Pending is %t, want %t", got, want)
			}
		})
	}
}
