// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package diagnose

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	autoscalingv2 "k8s.io/api/autoscaling/v2"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/metricspipeline/operator/api/v1alpha1"
)

// valueStep is the number itself.
var valueStep = step{
	name:   LinkValue,
	needed: func(v view) bool { return !v.failing || !v.pipelines() || v.has() },
	faults: []check{usageMissing, containerUsageMissing, metricSelectorMatchesNone, queryFailed, valueMissing, valueNaN, valueNotPerPod},
	seen: func(v view) string {
		if v.failing {
			if v.metric.Series.Samples > 0 {
				return fmt.Sprintf("The query of the rule gives %s.", count(v.metric.Series.Samples, "value"))
			}
			return ""
		}
		return v.current()
	},
}

// current is the value that the HPA has, beside its target.
func (v view) current() string {
	if v.at >= len(v.HPA.Status.CurrentMetrics) {
		return ""
	}
	status := v.HPA.Status.CurrentMetrics[v.at]
	var current autoscalingv2.MetricValueStatus
	switch {
	case status.Resource != nil:
		current = status.Resource.Current
	case status.ContainerResource != nil:
		current = status.ContainerResource.Current
	case status.Pods != nil:
		current = status.Pods.Current
	case status.Object != nil:
		current = status.Object.Current
	case status.External != nil:
		current = status.External.Current
	}
	switch {
	case current.AverageUtilization != nil:
		return fmt.Sprintf("The current value is %d%%.", *current.AverageUtilization)
	case current.AverageValue != nil:
		return "The current value is " + current.AverageValue.String() + " for each pod."
	case current.Value != nil:
		return "The current value is " + current.Value.String() + "."
	default:
		return ""
	}
}

// usageMissing is that metrics.k8s.io has nothing of the pods, which are Ready.
func usageMissing(v view) *Finding {
	m, ok := v.resource()
	if !ok || v.metric.PodsWithMetrics == nil || len(v.metric.PodsWithMetrics) > 0 && len(v.Pods) < v.PodsTotal ||
		slices.ContainsFunc(v.Pods, func(pod Pod) bool { return slices.Contains(v.metric.PodsWithMetrics, pod.Name) }) {
		return nil
	}
	return byAdministrator(found(v1alpha1.AutoscalerUsageMissing,
		fmt.Sprintf("metrics.k8s.io is available, and has no %s usage of any of the %s.", name(string(m.resource)), v.podsOf()),
		"An administrator acts on status.nodes of MetricsPipeline default, which has the nodes without metrics and why."))
}

func containerUsageMissing(v view) *Finding {
	m, ok := v.resource()
	if !ok || m.container == "" || v.metric.PodsWithMetrics == nil || slices.Contains(v.metric.ContainersWithMetrics, m.container) {
		return nil
	}
	return found(v1alpha1.AutoscalerContainerUsageMissing,
		fmt.Sprintf("metrics.k8s.io has usage of the %s, and none of their container %s.", v.podsOf(), name(m.container)),
		"Have container "+name(m.container)+" run in the pods: what has ended has no usage.")
}

// selector of the metric; nil for none.
func (v view) selector() *metav1.LabelSelector { return v.identifier().Selector }

// formatted is a selector in one line; also one that the API server would not take for the labels of objects.
func formatted(selector *metav1.LabelSelector) string {
	if _, err := metav1.LabelSelectorAsSelector(selector); err == nil {
		return metav1.FormatLabelSelector(selector)
	}
	parts := make([]string, 0, len(selector.MatchLabels))
	for _, key := range slices.Sorted(maps.Keys(selector.MatchLabels)) {
		parts = append(parts, key+"="+selector.MatchLabels[key])
	}
	for _, expression := range selector.MatchExpressions {
		parts = append(parts, fmt.Sprintf("%s %s (%s)", expression.Key, expression.Operator, strings.Join(expression.Values, ",")))
	}
	return strings.Join(parts, ",")
}

// valueless is true where there are series and no value of them.
func (v view) valueless() bool { return v.pipelines() && v.has() && v.metric.Series.Samples == 0 }

func metricSelectorMatchesNone(v view) *Finding {
	selector := v.selector()
	if !v.pipelines() || !v.has() || v.metric.Series.ForSelector != 0 || selector == nil ||
		len(selector.MatchLabels)+len(selector.MatchExpressions) == 0 {
		return nil
	}
	return found(v1alpha1.AutoscalerMetricSelectorMatchesNone,
		fmt.Sprintf("The selector %s of spec.metrics[%d] of %s matches none of the %s of %s.",
			quoted(formatted(selector)), v.at, v.hpa(), count(v.ofHPA(), "series"), v.subject()),
		"Correct the selector of the metric: it is about labels of the series, not of the pods.")
}

func queryFailed(v view) *Finding {
	if !v.pipelines() || v.metric.Series.QueryError == "" {
		return nil
	}
	return byAdministrator(found(v1alpha1.AutoscalerQueryFailed,
		fmt.Sprintf("Prometheus refuses the query of rule %s: %s.", v.ruleID(), quoted(v.metric.Series.QueryError)),
		fmt.Sprintf("An administrator corrects metricsQuery of rule %s in %s.rules of MetricsPipeline default.", v.ruleID(), v.field())))
}

func valueMissing(v view) *Finding {
	switch {
	case !v.valueless():
		return nil
	case v.metric.Series.ByQuery:
		return found(v1alpha1.AutoscalerValueMissing,
			fmt.Sprintf("Prometheus has series of rule %s, and its query finds none of %s among them.", v.ruleID(), v.subject()),
			v.exposed("Have what exposes these series name "+v.subject()+" as the query of rule "+v.ruleID()+" expects."))
	}
	return found(v1alpha1.AutoscalerValueMissing,
		fmt.Sprintf("There %s %s of %s, and the query of rule %s makes no value of them.",
			are(v.ofHPA()), count(v.ofHPA(), "series"), v.subject(), v.ruleID()),
		"Wait for a second sample, which a rate needs; or have an administrator set a window of at least twice the scrape interval "+
			"in rule "+v.ruleID()+".")
}

// ruleID is the id of the rule that serves.
func (v view) ruleID() string {
	if len(v.metric.Rules) == 0 {
		return name("")
	}
	return name(v.metric.Rules[0].ID)
}

// valueNaN breaks a metric of which no value is a number.
func valueNaN(v view) *Finding {
	if !v.pipelines() || v.metric.Series.NaN <= 0 || v.metric.Series.NaN < v.metric.Series.Samples {
		return nil
	}
	return notNumber(v)
}

func notNumber(v view) *Finding {
	series := v.metric.Series
	if !v.pipelines() || series.NaN <= 0 {
		return nil
	}
	return found(v1alpha1.AutoscalerValueNaN,
		fmt.Sprintf("%d of %s of the %s %s NaN, not a number.",
			series.NaN, count(max(series.Samples, series.NaN), "value"), v.measured(), are(series.NaN)),
		"Have rule "+v.ruleID()+" give a number without traffic as well: a division by zero is NaN, so its divisor needs a lower bound "+
			"above 0.")
}

// valueNotPerPod is that the query sums over the pods, so that no value has a pod's name.
func valueNotPerPod(v view) *Finding {
	series := v.metric.Series
	if v.spec.Pods == nil || !v.pipelines() || !v.has() || series.Samples <= 0 || len(series.Pods) > 0 {
		return nil
	}
	return byAdministrator(found(v1alpha1.AutoscalerValueNotPerPod,
		fmt.Sprintf("The query of rule %s gives %s without the label %s, and a metric of type Pods is one number for each pod.",
			v.ruleID(), count(series.Samples, "value"), quoted(series.ObjectLabel)),
		"An administrator aggregates by <<.GroupBy>> in metricsQuery of rule "+v.ruleID()+
			"; or the HPA takes a metric of type Object or External."))
}
