// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package diagnose

import (
	"fmt"
	"maps"
	"slices"
	"time"

	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"

	"github.com/metricspipeline/operator/api/v1alpha1"
	"github.com/metricspipeline/operator/internal/autoscaler"
)

// limit is what limits or endangers an HPA that has a number, and at which link.
type limit struct {
	link  LinkName
	check check
}

// limits are looked at of every metric, also of one without a value.
func limits() []limit {
	return []limit{
		{LinkAutoscaler, notObserved}, {LinkAutoscaler, shared}, {LinkAutoscaler, paused}, {LinkAutoscaler, pausedScaling},
		{LinkAutoscaler, notReady}, {LinkAutoscaler, fallback}, {LinkAutoscaler, vpaConflict}, {LinkAutoscaler, atMaximum},
		{LinkAutoscaler, boundsEqual}, {LinkAutoscaler, scalingForbidden}, {LinkAutoscaler, targetQuantity},
		{LinkPods, working(zeroReplicas)}, {LinkPods, selectsOthers},
		{LinkRule, working(ruleLastGood)}, {LinkRule, working(ruleWarned)}, {LinkRule, working(collision)}, {LinkValue, working(notNumber)},
	}
}

// working is a check that is only made where the metric has a value: else it is one of the faults.
func working(of check) check {
	return func(v view) *Finding {
		if v.failing {
			return nil
		}
		return of(v)
	}
}

// unobserved is how long the HPA controller may take to look at a new HPA: it does so every 15 seconds by default.
const unobserved = 5 * time.Minute

func notObserved(v view) *Finding {
	age := v.Now.Sub(v.HPA.CreationTimestamp.Time)
	if !autoscaler.Pending(v.HPA) || v.HPA.CreationTimestamp.IsZero() || age < unobserved {
		return nil
	}
	return byAdministrator(found(v1alpha1.AutoscalerNotObserved,
		fmt.Sprintf("The HPA controller has not looked at %s in the %s since it was made.", v.hpa(), ago(age)),
		"An administrator has kube-controller-manager run, with the controller horizontal-pod-autoscaling."))
}

// vpaConflict is that both act on the same usage: the VPA changes the request that the HPA divides by.
func vpaConflict(v view) *Finding {
	m, ok := v.resource()
	if !ok || !m.utilization() {
		return nil
	}
	for _, vpa := range v.VPAs {
		changes := func(container string) bool { return vpa.changes(container, m.resource) }
		if !slices.ContainsFunc(v.containers(m, vpa), changes) {
			continue
		}
		resource := name(string(m.resource))
		return found(v1alpha1.AutoscalerVPAConflict,
			fmt.Sprintf("VPA %s changes the %s requests of %s, of which %s measures the utilization: each undoes what the other one does.",
				name(vpa.Name), resource, v.target(), v.hpa()),
			fmt.Sprintf("Leave %s out of controlledResources of VPA %s, or have the HPA measure another metric.", resource, name(vpa.Name)))
	}
	return nil
}

// containers are those whose requests count for a measure; where no pod is known, those that the VPA names and any other.
func (v view) containers(m measure, vpa VPA) []string {
	if m.container != "" {
		return []string{m.container}
	}
	var all []string
	for _, pod := range v.Pods {
		all = slices.AppendSeq(all, maps.Keys(pod.Requests))
	}
	if len(all) == 0 {
		return slices.AppendSeq([]string{everyContainer}, maps.Keys(vpa.Containers))
	}
	return all
}

// maxReplicas names the field that bounds the HPA, where it is edited: KEDA writes the spec of an HPA that it made.
func (v view) maxReplicas() string {
	if v.ScaledObject != nil {
		return "spec.maxReplicaCount of ScaledObject " + name(v.ScaledObject.Name)
	}
	return "spec.maxReplicas of " + v.hpa()
}

func atMaximum(v view) *Finding {
	if !v.is(autoscalingv2.ScalingLimited, corev1.ConditionTrue, "TooManyReplicas") {
		return nil
	}
	return found(v1alpha1.AutoscalerAtMaximum,
		fmt.Sprintf("%s demands more replicas than its maxReplicas, %d.", v.hpa(), v.HPA.Spec.MaxReplicas),
		"Raise "+v.maxReplicas()+", or the target of its metrics.")
}

func boundsEqual(v view) *Finding {
	least := int32(1)
	if v.HPA.Spec.MinReplicas != nil {
		least = *v.HPA.Spec.MinReplicas
	}
	if least != v.HPA.Spec.MaxReplicas || v.ScaledObject != nil && v.ScaledObject.ToZero { // KEDA scales between 0 and that.
		return nil
	}
	return found(v1alpha1.AutoscalerBoundsEqual,
		fmt.Sprintf("minReplicas and maxReplicas of %s are both %d, so that it never scales.", v.hpa(), least),
		"Raise "+v.maxReplicas()+".")
}

func scalingForbidden(v view) *Finding {
	behavior := v.HPA.Spec.Behavior
	if behavior == nil || pausedScaling(v) != nil { // That says it, and KEDA sets the field.
		return nil
	}
	forbids := func(rules *autoscalingv2.HPAScalingRules) bool {
		return rules != nil && rules.SelectPolicy != nil && *rules.SelectPolicy == autoscalingv2.DisabledPolicySelect
	}
	field, direction := "scaleUp", "up"
	switch {
	case forbids(behavior.ScaleUp):
	case forbids(behavior.ScaleDown):
		field, direction = "scaleDown", "down"
	default:
		return nil
	}
	remedy := "Remove that field, or set it to Max."
	if v.ScaledObject != nil {
		remedy = fmt.Sprintf("Remove behavior.%s.selectPolicy from spec.advanced.horizontalPodAutoscalerConfig of ScaledObject %s.",
			field, name(v.ScaledObject.Name))
	}
	return found(v1alpha1.AutoscalerScalingForbidden,
		fmt.Sprintf("spec.behavior.%s.selectPolicy of %s is Disabled, so that it never scales %s.", field, v.hpa(), direction), remedy)
}

// What no pod uses: less than a page of memory, more cores than a machine has.
var (
	leastMemory = resource.MustParse("4Ki")
	mostCores   = resource.MustParse("1000")
)

func targetQuantity(v view) *Finding {
	m, ok := v.resource()
	if !ok || m.target.AverageValue == nil {
		return nil
	}
	says := ""
	switch value := *m.target.AverageValue; {
	case m.resource == corev1.ResourceMemory && value.Cmp(leastMemory) < 0:
		says = "memory of less than a page; Mi is the unit of mebibytes, and m of thousandths"
	case m.resource == corev1.ResourceCPU && value.Cmp(mostCores) >= 0:
		says = "cores for each pod; m is the unit of thousandths of a core"
	default:
		return nil
	}
	return found(v1alpha1.AutoscalerTargetQuantity,
		fmt.Sprintf("The target of spec.metrics[%d] of %s is %s, %s.", v.at, v.hpa(), m.target.AverageValue.String(), says),
		"Set averageValue to a quantity that a pod uses, such as 500Mi or 500m.")
}

// selectsOthers is no fault as long as the HPA can compute: it takes the average over pods that it does not scale.
func selectsOthers(v view) *Finding {
	if len(v.Target.SelectorElsewhere) == 0 || !v.ofPods() {
		return nil
	}
	return tooWide(v, ", whose usage the HPA takes for that of its own")
}
