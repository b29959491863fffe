// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package diagnose

import (
	"fmt"

	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"

	"github.com/metricspipeline/operator/api/v1alpha1"
)

// autoscalerStep is the HPA itself, and what else moves its target.
var autoscalerStep = step{
	name: LinkAutoscaler,
	faults: []check{
		targetShared,         // The HPA controller serves none of the HPAs: whatever else is broken is not even looked at.
		scaledObjectPaused,   // KEDA gives no number on purpose.
		scaledObjectNotReady, // KEDA cannot.
		scaledObjectFallback,
		resourceNotMeasured, // What the spec says cannot work on any cluster.
		targetTypeMismatch,
		objectKindNotServed, // Nor this one, before a CRD is installed.
	},
	seen: func(v view) string {
		least := int32(1)
		if v.HPA.Spec.MinReplicas != nil {
			least = *v.HPA.Spec.MinReplicas
		}
		return join(fmt.Sprintf("%s scales %s between %d and %d replicas; it has %d.",
			v.hpa(), v.target(), least, v.HPA.Spec.MaxReplicas, v.HPA.Status.CurrentReplicas), madeByKEDA(v))
	},
}

// targetShared is looked at by what the HPA controller says, because it gives up on pods that two HPAs select, whatever else works.
func targetShared(v view) *Finding {
	if len(v.Others) == 0 || !v.is(autoscalingv2.ScalingActive, corev1.ConditionFalse, "AmbiguousSelector") ||
		v.condition(autoscalingv2.AbleToScale).Status == corev1.ConditionFalse {
		return nil
	}
	return shared(v)
}

func shared(v view) *Finding {
	if len(v.Others) == 0 {
		return nil
	}
	return found(v1alpha1.AutoscalerTargetShared,
		fmt.Sprintf("%s scales %s, and so does HPA %s: the HPA controller serves none of those that select the same pods.",
			v.hpa(), v.target(), names(v.Others)),
		"Put the metrics of all into one HPA and delete the others: an HPA takes the highest number of its metrics.")
}

func resourceNotMeasured(v view) *Finding {
	m, ok := v.resource()
	if !ok || m.resource == corev1.ResourceCPU || m.resource == corev1.ResourceMemory {
		return nil
	}
	return found(v1alpha1.AutoscalerResourceNotMeasured,
		fmt.Sprintf("spec.metrics[%d] of %s names the resource %s, and metrics.k8s.io has cpu and memory alone.",
			v.at, v.hpa(), quoted(string(m.resource))),
		"Take a metric of type Pods for it, made of the series that an exporter gives.")
}

// targetTypeMismatch is what the API server's validation lets through: it only demands one of the two values.
func targetTypeMismatch(v view) *Finding {
	if v.spec.Object == nil {
		return nil
	}
	target, missing := v.spec.Object.Target, ""
	switch {
	case target.Type == autoscalingv2.ValueMetricType && target.Value == nil:
		missing = "value"
	case target.Type == autoscalingv2.AverageValueMetricType && target.AverageValue == nil:
		missing = "averageValue"
	case target.Type == autoscalingv2.UtilizationMetricType:
		missing = "averageUtilization, which an Object metric cannot have"
	default:
		return nil
	}
	return found(v1alpha1.AutoscalerTargetTypeMismatch,
		fmt.Sprintf("spec.metrics[%d].object.target.type of %s is %s, and the target is without %s.", v.at, v.hpa(), target.Type, missing),
		"Set type to Value beside value, or to AverageValue beside averageValue.")
}

// objectKindNotServed is found by the group and the kind: the HPA controller takes any version.
func objectKindNotServed(v view) *Finding {
	if v.spec.Object == nil || !v.metric.ObjectKindNotServed {
		return nil
	}
	object, field := v.spec.Object.DescribedObject, fmt.Sprintf("spec.metrics[%d].object.describedObject", v.at)
	return found(v1alpha1.AutoscalerObjectKindNotServed,
		fmt.Sprintf("%s of %s names the kind %s of apiVersion %s, which the API server does not serve.",
			field, v.hpa(), name(object.Kind), quoted(object.APIVersion)),
		fmt.Sprintf("Correct apiVersion and kind of %s, such as networking.k8s.io/v1 and Ingress, or install the CRD of that kind.", field))
}
