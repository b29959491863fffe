// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package diagnose

import (
	"fmt"

	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"

	"github.com/metricspipeline/operator/api/v1alpha1"
)

// targetStep is the object of scaleTargetRef and its scale.
var targetStep = step{
	name:   LinkTarget,
	faults: []check{targetKindNotServed, targetMissing, targetNotScalable, targetWithoutSelector, scaleRefused},
	seen: func(v view) string {
		if !v.Target.Found {
			return ""
		}
		return fmt.Sprintf("%s has %s and the selector %s.",
			v.target(), count(int(v.Target.Replicas), "replica"), quoted(v.Target.Selector))
	},
}

func targetKindNotServed(v view) *Finding {
	if v.Target.Found || v.Target.KindServed {
		return nil
	}
	ref := v.HPA.Spec.ScaleTargetRef
	return found(v1alpha1.AutoscalerTargetKindNotServed,
		fmt.Sprintf("spec.scaleTargetRef of %s names the kind %s of %s, which the API server does not serve.",
			v.hpa(), name(ref.Kind), name(ref.APIVersion)),
		"Correct spec.scaleTargetRef.apiVersion and kind, such as apps/v1 and Deployment, or install the CRD of that kind.")
}

func targetMissing(v view) *Finding {
	if v.Target.Found {
		return nil
	}
	return found(v1alpha1.AutoscalerTargetMissing,
		fmt.Sprintf("%s, the target of %s, does not exist in namespace %s.", v.target(), v.hpa(), name(v.HPA.Namespace)),
		"Correct spec.scaleTargetRef.name, or create "+v.target()+".")
}

func targetNotScalable(v view) *Finding {
	if v.Target.Scalable {
		return nil
	}
	return found(v1alpha1.AutoscalerTargetNotScalable,
		fmt.Sprintf("%s, the target of %s, is of a kind without the subresource scale.", v.target(), v.hpa()),
		"Name a Deployment, a StatefulSet or another kind that can be scaled in spec.scaleTargetRef.")
}

func targetWithoutSelector(v view) *Finding {
	if v.Target.Selector != "" {
		return nil
	}
	return found(v1alpha1.AutoscalerTargetWithoutSelector,
		fmt.Sprintf("The scale of %s has no status.selector, so the HPA controller does not know its pods.", v.target()),
		"Set subresources.scale.labelSelectorPath in the CRD of "+name(v.HPA.Spec.ScaleTargetRef.Kind)+
			", and have its controller write that field.")
}

func scaleRefused(v view) *Finding {
	if !v.is(autoscalingv2.AbleToScale, corev1.ConditionFalse, "FailedUpdateScale") {
		return nil
	}
	return found(v1alpha1.AutoscalerScaleRefused,
		fmt.Sprintf("The API server refuses the replicas that the HPA controller writes to %s: %s.",
			v.target(), quoted(v.condition(autoscalingv2.AbleToScale).Message)),
		"Remove what refuses it, such as an admission policy, or bring minReplicas and maxReplicas of "+v.hpa()+" into what it admits.")
}
