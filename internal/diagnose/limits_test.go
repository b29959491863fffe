// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package diagnose

import (
	"testing"
	"time"

	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"github.com/metricspipeline/operator/api/v1alpha1"
)

// limitCase is an HPA that has its number, and is limited.
type limitCase struct {
	name   string
	metric autoscalingv2.MetricSpec
	change func(*Evidence)
	reason string
}

func (c limitCase) evidence() *Evidence {
	evidence := healthy([]autoscalingv2.MetricSpec{c.metric})
	c.change(evidence)
	return evidence
}

// limitCases has every reason for which an HPA does not act on a number that it has, or acts wrongly.
func limitCases() []limitCase {
	behavior := func(set func(*autoscalingv2.HorizontalPodAutoscalerBehavior)) func(*Evidence) {
		return func(e *Evidence) {
			e.HPA.Spec.Behavior = &autoscalingv2.HorizontalPodAutoscalerBehavior{}
			set(e.HPA.Spec.Behavior)
		}
	}
	disabled := &autoscalingv2.HPAScalingRules{SelectPolicy: ptr.To(autoscalingv2.DisabledPolicySelect)}
	object := func(object ScaledObject) func(*Evidence) { return func(e *Evidence) { e.ScaledObject = &object } }
	return []limitCase{
		{"the HPA controller does not run", cpu, func(e *Evidence) {
			e.HPA.Status = autoscalingv2.HorizontalPodAutoscalerStatus{}
			e.HPA.CreationTimestamp = metav1.NewTime(now.Add(-10 * time.Minute))
		}, v1alpha1.AutoscalerNotObserved},
		{"another HPA has the same target, and the controller does not mind", cpu, func(e *Evidence) { e.Others = []string{"api"} },
			v1alpha1.AutoscalerTargetShared},
		{"a paused ScaledObject with cpu alone", cpu, object(ScaledObject{Name: "web", Paused: "autoscaling.keda.sh/paused-replicas: \"3\""}),
			v1alpha1.AutoscalerScaledObjectPaused},
		{"a ScaledObject that is not ready, with cpu alone", cpu, object(ScaledObject{Name: "web", ReadyFalse: true, Ready: "no trigger"}),
			v1alpha1.AutoscalerScaledObjectNotReady},
		{"a ScaledObject of which one trigger of two fails", queue, object(ScaledObject{Name: "web", ReadyFalse: true, Observed: true,
			Ready: "Some triggers defined in ScaledObject are not working correctly"}), v1alpha1.AutoscalerScaledObjectNotReady},
		{"a ScaledObject that does not scale in", queue, func(e *Evidence) {
			e.ScaledObject = &ScaledObject{Name: "web", PausedScaling: []string{"autoscaling.keda.sh/paused-scale-in: true"}}
			behavior(func(b *autoscalingv2.HorizontalPodAutoscalerBehavior) { b.ScaleDown = disabled })(e) // As KEDA does.
		}, v1alpha1.AutoscalerScaledObjectPaused},
		{"a ScaledObject that does not scale out", queue, object(ScaledObject{Name: "web", PausedScaling: []string{"autoscaling.keda.sh/paused-scale-out: yes"}}),
			v1alpha1.AutoscalerScaledObjectPaused},
		{"a ScaledObject that scales in no direction", cpu, object(ScaledObject{Name: "web", PausedScaling: []string{
			"autoscaling.keda.sh/paused-scale-in: true", "autoscaling.keda.sh/paused-scale-out: true"}}), v1alpha1.AutoscalerScaledObjectPaused},
		{"a ScaledObject that forbids to scale down", queue, func(e *Evidence) {
			e.ScaledObject = &ScaledObject{Name: "web"}
			behavior(func(b *autoscalingv2.HorizontalPodAutoscalerBehavior) { b.ScaleDown = disabled })(e)
		}, v1alpha1.AutoscalerScalingForbidden},
		{"a ScaledObject at its maximum", queue, func(e *Evidence) {
			e.ScaledObject = &ScaledObject{Name: "web"}
			condition(e, autoscalingv2.ScalingLimited, corev1.ConditionTrue, "TooManyReplicas", "")
		}, v1alpha1.AutoscalerAtMaximum},
		{"a number of the fallback", queue, object(ScaledObject{Name: "web", FallbackTrue: true, Fallback: "fallback is active"}),
			v1alpha1.AutoscalerScaledObjectFallback},
		{"a VPA on cpu", cpu, func(e *Evidence) { e.VPAs = []VPA{{Name: "off", Mode: "Off"}, {Name: "web", Mode: "Auto"}} },
			v1alpha1.AutoscalerVPAConflict},
		{"a VPA that sets the requests of new pods alone", cpu, func(e *Evidence) { e.VPAs = []VPA{{Name: "web", Mode: "Initial"}} },
			v1alpha1.AutoscalerVPAConflict},
		{"a VPA that leaves a sidecar alone", cpu, func(e *Evidence) {
			e.VPAs = []VPA{{Name: "web", Mode: "InPlaceOrRecreate", Containers: map[string][]string{"istio-proxy": {}}}}
		}, v1alpha1.AutoscalerVPAConflict},
		{"a VPA on the container alone that the HPA measures", containerCPU("app"), func(e *Evidence) {
			e.VPAs = []VPA{{Name: "web", Mode: "Recreate", Containers: map[string][]string{"*": {}, "app": {"cpu"}}}}
		}, v1alpha1.AutoscalerVPAConflict},
		{"a VPA beside an HPA whose pods are not known", cpu, func(e *Evidence) {
			e.Pods, e.VPAs = nil, []VPA{{Name: "web", Mode: "Recreate", Containers: map[string][]string{"*": {}, "app": {"cpu"}}}}
		}, v1alpha1.AutoscalerVPAConflict},
		{"at its maximum", cpu, func(e *Evidence) {
			condition(e, autoscalingv2.ScalingLimited, corev1.ConditionTrue, "TooManyReplicas",
				"the desired replica count is more than the maximum replica count")
		}, v1alpha1.AutoscalerAtMaximum},
		{"equal bounds", cpu, func(e *Evidence) { e.HPA.Spec.MaxReplicas = 2 }, v1alpha1.AutoscalerBoundsEqual},
		{"behavior forbids to scale up", cpu, behavior(func(b *autoscalingv2.HorizontalPodAutoscalerBehavior) { b.ScaleUp = disabled }),
			v1alpha1.AutoscalerScalingForbidden},
		{"behavior forbids to scale down", cpu, behavior(func(b *autoscalingv2.HorizontalPodAutoscalerBehavior) { b.ScaleDown = disabled }),
			v1alpha1.AutoscalerScalingForbidden},
		{"a memory of half a byte", averageOf(corev1.ResourceMemory, "500m"), func(*Evidence) {}, v1alpha1.AutoscalerTargetQuantity},
		{"a cpu of 1000 cores", averageOf(corev1.ResourceCPU, "1000"), func(*Evidence) {}, v1alpha1.AutoscalerTargetQuantity},
		{"no replicas", cpu, func(e *Evidence) {
			e.Target.Replicas, e.PodsTotal, e.Pods, e.HPA.Status.CurrentMetrics = 0, 0, nil, nil
			condition(e, autoscalingv2.ScalingActive, corev1.ConditionFalse, "ScalingDisabled", "")
		}, v1alpha1.AutoscalerZeroReplicas},
		{"no replicas, of an HPA that a person has disabled by that", queue, func(e *Evidence) {
			e.Target.Replicas, e.PodsTotal, e.Pods, e.HPA.Status.CurrentMetrics = 0, 0, nil, nil
			e.HPA.Spec.MinReplicas = ptr.To(int32(0))
			condition(e, autoscalingv2.ScalingActive, corev1.ConditionFalse, "ScalingDisabled", "")
		}, v1alpha1.AutoscalerZeroReplicas},
		{"a selector that selects others too", cpu, func(e *Evidence) { e.Target.SelectorElsewhere = []string{"Deployment worker"} },
			v1alpha1.AutoscalerSelectorTooWide},
		{"a value by the last good form", requests, func(e *Evidence) { e.Metrics[0].Rules[0].State = "LastGood" },
			v1alpha1.AutoscalerRuleLastGood},
		{"a value by a rule that cannot work for all", requests, func(e *Evidence) { e.Metrics[0].Rules[0].State = "Warned" },
			v1alpha1.AutoscalerRuleWarned},
		{"a value by one of two rules", requests, func(e *Evidence) {
			e.Metrics[0].Rules = append(e.Metrics[0].Rules, Rule{ID: "more", State: "InUse"})
		}, v1alpha1.AutoscalerRuleCollision},
		{"one value of two is NaN", requests, func(e *Evidence) { e.Metrics[0].Series.NaN = 1 }, v1alpha1.AutoscalerValueNaN},
	}
}

// TestNoLimit has what limits nothing.
func TestNoLimit(t *testing.T) {
	vpa := func(vpa VPA) func(*Evidence) { return func(e *Evidence) { e.VPAs = []VPA{vpa} } }
	disabled := func(e *Evidence) {
		e.Target.Replicas, e.PodsTotal, e.Pods, e.HPA.Status.CurrentReplicas, e.HPA.Status.CurrentMetrics = 0, 0, nil, 0, nil
		condition(e, autoscalingv2.ScalingActive, corev1.ConditionFalse, "ScalingDisabled", "")
	}
	for name, tc := range map[string]limitCase{
		"a VPA that only recommends": {metric: cpu, change: vpa(VPA{Name: "web", Mode: "Off"})},
		"a VPA on another resource":  {metric: cpu, change: vpa(VPA{Name: "web", Containers: map[string][]string{"*": {"memory"}}})},
		"a VPA on no container":      {metric: cpu, change: vpa(VPA{Name: "web", Containers: map[string][]string{"*": {}}})},
		"a VPA on another container": {metric: containerCPU("app"),
			change: vpa(VPA{Name: "web", Containers: map[string][]string{"app": {}, "istio-proxy": {"cpu"}}})},
		"a VPA on a container that no pod has": {metric: cpu,
			change: vpa(VPA{Name: "web", Containers: map[string][]string{"*": {}, "other": {"cpu"}}})},
		"a VPA beside a Pods metric":  {metric: requests, change: vpa(VPA{Name: "web", Mode: "Auto"})},
		"a VPA beside an average":     {metric: averageOf("cpu", "500m"), change: vpa(VPA{Name: "web"})},
		"at its minimum":              {metric: cpu, change: func(e *Evidence) { condition(e, "ScalingLimited", "True", "TooFewReplicas", "") }},
		"a rejected rule of its name": {metric: requests, change: func(e *Evidence) { e.Metrics[0].Rules = append(e.Metrics[0].Rules, Rule{ID: "x", State: "Rejected"}) }},
		"scaled to zero by itself, by an external metric that wakes it": {metric: queue, change: atZero},
		"scaled to zero by itself, by an object's metric":               {metric: ingress, change: atZero},
		"scaled to zero by itself, with cpu beside it":                  {metric: cpu, change: func(e *Evidence) { atZero(e); e.HPA.Status.CurrentMetrics[0].Type = "" }},
		"scaled to zero by KEDA": {metric: queue, change: func(e *Evidence) {
			disabled(e)
			e.ScaledObject = &ScaledObject{Name: "web", ToZero: true}
		}},
		"scaled to zero by KEDA, with cpu beside it": {metric: cpu, change: func(e *Evidence) {
			disabled(e)
			e.ScaledObject = &ScaledObject{Name: "web", ToZero: true}
		}},
		"between 0 and 1 by KEDA": {metric: queue, change: func(e *Evidence) {
			e.HPA.Spec.MinReplicas, e.HPA.Spec.MaxReplicas = ptr.To(int32(1)), 1
			e.ScaledObject = &ScaledObject{Name: "web", ToZero: true}
		}},
	} {
		t.Run(name, func(t *testing.T) {
			evidence := tc.evidence()
			if chain := Examine(evidence).Chains[0]; chain.Finding != nil || len(chain.Limits) > 0 || Examine(evidence).Failing {
				t.Errorf("%+v, %+v", chain.Finding, chain.Limits)
			}
		})
	}
}
