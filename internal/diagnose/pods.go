// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package diagnose

import (
	"fmt"
	"slices"
	"time"

	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"

	"github.com/metricspipeline/operator/api/v1alpha1"
)

// podsStep are the pods of the target.
var podsStep = step{
	name: LinkPods,
	faults: []check{
		selectorAmbiguous,       // The HPA controller looks at no metric.
		zeroReplicas,            // There are to be no pods,
		podsMissing,             // or there are none.
		selectorTooWide,         // What is wrong with the pods of other workloads is not to be corrected there.
		containerMissing,        // What the pods' spec says cannot work, however they run.
		containerRequestMissing, //
		requestsMissing,         //
		podsNotReady,            // The spec is right, and the pods do not run.
	},
	seen: func(v view) string {
		if v.PodsTotal == 0 {
			return ""
		}
		return fmt.Sprintf("There %s %s, of which %d %s Ready.", are(v.PodsTotal), v.podsOf(), v.PodsReady, are(v.PodsReady))
	},
}

func selectorAmbiguous(v view) *Finding {
	if !v.is(autoscalingv2.ScalingActive, corev1.ConditionFalse, "AmbiguousSelector") || len(v.Others) > 0 {
		return nil
	}
	whose := "The HPA controller says " + quoted(v.condition(autoscalingv2.ScalingActive).Message) + "."
	if len(v.Target.SelectorElsewhere) > 0 {
		whose = fmt.Sprintf("It selects the pods of %s as well, which another HPA scales.", names(v.Target.SelectorElsewhere))
	}
	return found(v1alpha1.AutoscalerSelectorAmbiguous,
		fmt.Sprintf("Pods with the selector %s of %s belong to several HPAs, so the HPA controller serves none of them. %s",
			quoted(v.Target.Selector), v.target(), whose),
		"Give each workload a label of its own in spec.selector and in the labels of its pods; a selector cannot be changed, "+
			"so make the workload anew.")
}

// zeroReplicas is none where something wakes the target: KEDA does, and an HPA that has scaled it to 0 itself, by a metric that needs no
// pods. Another HPA is disabled, whatever its metrics: the HPA controller looks at none of them.
func zeroReplicas(v view) *Finding {
	disabled := v.is(autoscalingv2.ScalingActive, corev1.ConditionFalse, "ScalingDisabled")
	if v.Target.Replicas != 0 || v.PodsTotal > 0 || !v.ofPods() && !disabled ||
		v.scaledToZero() || v.ScaledObject != nil && v.ScaledObject.ToZero {
		return nil
	}
	return found(v1alpha1.AutoscalerZeroReplicas,
		fmt.Sprintf("%s has 0 replicas, which disables %s.", v.target(), v.hpa()),
		"Scale "+v.target()+" to 1 or more: the HPA takes over from there.")
}

func podsMissing(v view) *Finding {
	if v.PodsTotal > 0 || v.Target.Replicas == 0 || !v.ofPods() && !v.perTarget() {
		return nil
	}
	return found(v1alpha1.AutoscalerPodsMissing,
		fmt.Sprintf("%s is to have %s, and no pod of namespace %s has the labels %s.",
			v.target(), count(int(v.Target.Replicas), "replica"), name(v.HPA.Namespace), quoted(v.Target.Selector)),
		"Read the Events of "+v.target()+" and of its ReplicaSets: they say why no pod is made, such as a ResourceQuota.")
}

// selectorTooWide breaks the HPA where pods of other workloads are without the request that it needs.
func selectorTooWide(v view) *Finding {
	m, ok := v.resource()
	if !ok || !m.utilization() {
		return nil
	}
	for _, pod := range v.Pods {
		if slices.Contains(v.Target.SelectorElsewhere, pod.Owner) && pod.without(m) {
			return tooWide(v, fmt.Sprintf(", and pod %s of %s has no %s request",
				name(pod.Name), name(pod.Owner), name(string(m.resource))))
		}
	}
	return nil
}

func tooWide(v view, so string) *Finding {
	return found(v1alpha1.AutoscalerSelectorTooWide,
		fmt.Sprintf("The selector %s of %s selects the pods of %s too%s.",
			quoted(v.Target.Selector), v.target(), names(v.Target.SelectorElsewhere), so),
		"Give "+v.target()+" a label of its own in spec.selector and in the labels of its pods; a selector cannot be changed, "+
			"so make it anew.")
}

// podsNotReady matters to metrics of the pods themselves: nothing is measured of a pod that does not run. Of cpu the HPA controller leaves
// a pod out that has never been Ready, also where there is usage of it.
func podsNotReady(v view) *Finding {
	alive := v.alive()
	m, _ := v.resource()
	measured := func(pod Pod) bool {
		return m.resource != corev1.ResourceCPU && slices.Contains(v.metric.PodsWithMetrics, pod.Name)
	}
	if !v.ofPods() || len(alive) == 0 || v.PodsReady > 0 || slices.ContainsFunc(alive, measured) {
		return nil
	}
	pod := alive[0]
	if at := slices.IndexFunc(alive, func(pod Pod) bool { return pod.Waiting != "" }); at >= 0 {
		pod = alive[at]
	}
	if pod.Waiting == "" {
		return found(v1alpha1.AutoscalerPodsNotReady,
			fmt.Sprintf("None of the %s is Ready; pod %s is %s and not Ready.", v.podsOf(), name(pod.Name), name(string(pod.Phase))),
			"Read the Events of pod "+name(pod.Name)+": they have what its readiness probe is answered.")
	}
	return found(v1alpha1.AutoscalerPodsNotReady,
		fmt.Sprintf("None of the %s is Ready; pod %s waits for %s.", v.podsOf(), name(pod.Name), quoted(pod.Waiting)),
		"Correct in "+v.target()+" what pod "+name(pod.Name)+" waits for.")
}

// podsStarting is said in place of what time removes, and so is no fault of this link.
func (v view) podsStarting(age time.Duration) *Finding {
	return found(v1alpha1.AutoscalerPodsStarting,
		fmt.Sprintf("The %s started less than %d seconds ago, and there are no metrics of them yet.", v.podsOf(), int(age.Seconds())),
		"Wait for two minutes: metrics need two looks at a pod.")
}
