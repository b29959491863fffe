// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package diagnose

import (
	"fmt"
	"strings"

	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"

	"github.com/metricspipeline/operator/api/v1alpha1"
)

// ExamineScaledObject says why there is no HPA of a ScaledObject: KEDA makes one of each that is Ready and not paused, and keeps it while
// the target has 0 replicas.
func ExamineScaledObject(object ScaledObject) Diagnosis {
	finding := withoutHPA(object)
	chain := Chain{Metric: "ScaledObject " + object.Name, Finding: finding}
	for _, step := range steps() {
		link := Link{Name: step.name, Verdict: NotReached}
		if step.name == LinkAutoscaler {
			link.Verdict, link.Seen = Broken, finding.Cause
		}
		chain.Links = append(chain.Links, link)
	}
	return Diagnosis{Failing: true, Chains: []Chain{chain}}
}

func withoutHPA(object ScaledObject) *Finding {
	so := "ScaledObject " + name(object.Name)
	switch {
	case object.ReadyFalse: // Paused or not: what KEDA says is the fault.
		return found(v1alpha1.AutoscalerScaledObjectNotReady,
			fmt.Sprintf("%s has no HPA and is not Ready: KEDA says %s.", so, quoted(object.Ready)),
			"Correct "+so+" by that message: KEDA makes its HPA once it is Ready.")
	case object.Paused != "":
		return found(v1alpha1.AutoscalerScaledObjectPaused,
			fmt.Sprintf("%s is paused by its annotation %s, so that KEDA has deleted its HPA.", so, quoted(object.Paused)),
			"Remove that annotation from "+so+": KEDA makes the HPA again.")
	case !object.Observed:
		return byAdministrator(found(v1alpha1.AutoscalerScaledObjectWithoutHPA,
			fmt.Sprintf("%s has no HPA and no condition Ready: KEDA's operator has not looked at it.", so),
			"An administrator has KEDA's operator run, and watch the namespace of "+so+"."))
	default:
		return byAdministrator(found(v1alpha1.AutoscalerScaledObjectWithoutHPA,
			fmt.Sprintf("%s has no HPA, although KEDA says %s of it.", so, quoted(object.Ready)),
			"An administrator has KEDA's operator run: it makes the HPA again when it looks at "+so+"."))
	}
}

// madeByKEDA is what is to be said of an HPA that a ScaledObject made; empty for another one.
func madeByKEDA(v view) string {
	if v.ScaledObject == nil {
		return ""
	}
	made := "KEDA made it of ScaledObject " + name(v.ScaledObject.Name)
	if v.ScaledObject.ToZero {
		made += ", and scales " + v.target() + " to 0 while no trigger is active"
	}
	return made + "."
}

func scaledObjectPaused(v view) *Finding {
	if !v.fromKEDA() {
		return nil
	}
	return paused(v)
}

func paused(v view) *Finding {
	if v.ScaledObject == nil || v.ScaledObject.Paused == "" {
		return nil
	}
	return found(v1alpha1.AutoscalerScaledObjectPaused,
		fmt.Sprintf("ScaledObject %s, which made %s, is paused by its annotation %s.",
			name(v.ScaledObject.Name), v.hpa(), quoted(v.ScaledObject.Paused)),
		"Remove that annotation from ScaledObject "+name(v.ScaledObject.Name)+".")
}

// pausedScaling is a limit alone: KEDA goes on to give numbers, and forbids the HPA one direction by its behavior.
func pausedScaling(v view) *Finding {
	if v.ScaledObject == nil || v.ScaledObject.Paused != "" || len(v.ScaledObject.PausedScaling) == 0 {
		return nil
	}
	all := strings.Join(v.ScaledObject.PausedScaling, ", ")
	direction := "down"
	switch in, out := strings.Contains(all, "paused-scale-in"), strings.Contains(all, "paused-scale-out"); {
	case in && out:
		direction = "up or down"
	case out:
		direction = "up"
	}
	return found(v1alpha1.AutoscalerScaledObjectPaused,
		fmt.Sprintf("ScaledObject %s, which made %s, never scales %s %s, by its annotation %s.",
			name(v.ScaledObject.Name), v.hpa(), v.target(), direction, quoted(all)),
		"Remove that annotation from ScaledObject "+name(v.ScaledObject.Name)+".")
}

func scaledObjectNotReady(v view) *Finding {
	if !v.fromKEDA() {
		return nil
	}
	return notReady(v)
}

// notReady has what the HPA controller was answered too: of a trigger that fails KEDA's own message names neither it nor its error.
func notReady(v view) *Finding {
	if v.ScaledObject == nil || !v.ScaledObject.ReadyFalse {
		return nil
	}
	cause := fmt.Sprintf("ScaledObject %s, which made %s, is not Ready: KEDA says %s.",
		name(v.ScaledObject.Name), v.hpa(), quoted(v.ScaledObject.Ready))
	if v.is(autoscalingv2.ScalingActive, corev1.ConditionFalse, "FailedGetExternalMetric") {
		cause += " The HPA controller is answered " + quoted(v.condition(autoscalingv2.ScalingActive).Message) + "."
	}
	return found(v1alpha1.AutoscalerScaledObjectNotReady, cause,
		"Correct ScaledObject "+name(v.ScaledObject.Name)+" by that message; its triggers give the HPA's external metrics.")
}

func scaledObjectFallback(v view) *Finding {
	if !v.fromKEDA() {
		return nil
	}
	return fallback(v)
}

func fallback(v view) *Finding {
	if v.ScaledObject == nil || !v.ScaledObject.FallbackTrue {
		return nil
	}
	return found(v1alpha1.AutoscalerScaledObjectFallback,
		fmt.Sprintf("A trigger of ScaledObject %s fails, so KEDA answers with the replicas of its spec.fallback: %s.",
			name(v.ScaledObject.Name), quoted(v.ScaledObject.Fallback)),
		"Correct the trigger of ScaledObject "+name(v.ScaledObject.Name)+"; the log of KEDA's operator has its error.")
}

// apiNotKEDA is that external.metrics.k8s.io, of which a cluster has one server, is not KEDA's. Whose it is, is known by the Service of its
// APIService, which has keda in its name or namespace however KEDA was installed.
func apiNotKEDA(v view) *Finding {
	api := v.metric.API
	if !v.fromKEDA() || api.Registered && !api.Ours && strings.Contains(strings.ToLower(api.Owner), "keda") {
		return nil
	}
	made := fmt.Sprintf("ScaledObject %s made %s on a metric of KEDA, and ", name(v.ScaledObject.Name), v.hpa())
	switch {
	case !api.Registered:
		return byAdministrator(found(v1alpha1.AutoscalerAPINotRegistered, made+"nothing registers "+v.group()+".",
			"An administrator applies KEDA's APIService again."))
	case api.Ours:
		return byAdministrator(found(v1alpha1.AutoscalerAPITaken, made+v.group()+" is served by this pipeline.",
			"An administrator sets "+v.field()+".policy of MetricsPipeline default to Observe and applies KEDA's APIService again."))
	default:
		return byAdministrator(found(v1alpha1.AutoscalerAPIForeign, made+v.group()+" is served by another owner than KEDA.",
			"An administrator applies KEDA's APIService again: a cluster has one server of that API."))
	}
}
