// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package diagnose

import (
	"fmt"
	"time"

	"github.com/metricspipeline/operator/api/v1alpha1"
)

// seriesStep are the series in Prometheus that the rule makes the metric of.
var seriesStep = step{
	name:    LinkSeries,
	needed:  func(v view) bool { return v.pipelines() && (v.served() || v.metric.Series.Unreachable != "") },
	known:   func(v view) bool { return unasked(v) == "" },
	unseen:  unasked,
	faults:  []check{prometheusUnreachable, seriesNamespaceLabel, seriesObjectLabel},
	starved: seriesMissing,
	seen: func(v view) string {
		switch {
		case !v.has():
			return ""
		case v.metric.Series.ByQuery:
			return fmt.Sprintf("Prometheus has series of rule %s, which finds %s among them by its query.", v.ruleID(), v.subject())
		}
		return fmt.Sprintf("Prometheus has %s of %s in namespace %s.", count(v.ofHPA(), "series"), v.subject(), name(v.HPA.Namespace))
	},
	queries: func(v view) []string { return v.metric.Series.Queries },
}

// ofHPA counts the series that are the HPA's.
func (v view) ofHPA() int {
	series := v.metric.Series
	switch {
	case v.spec.External == nil && series.ForPods < 0 && series.ObjectLabel == "": // A metric of the namespace itself.
		return series.InNamespace
	case v.spec.External == nil:
		return series.ForPods
	case series.NamespaceLabel == "": // A metric of the whole cluster.
		return series.Total
	default:
		return series.InNamespace
	}
}

// has is true where there are series of the HPA's.
func (v view) has() bool { return v.ofHPA() > 0 }

func unasked(v view) string {
	if v.metric.Series.Unreachable != "" || v.has() || v.metric.Series.Total >= 0 && v.metric.Series.InNamespace >= 0 && v.ofHPA() >= 0 {
		return ""
	}
	return "Prometheus was not queried for these series."
}

// prometheusUnreachable does not repeat the error: it names what is of other namespaces.
func prometheusUnreachable(v view) *Finding {
	if v.metric.Series.Unreachable == "" {
		return nil
	}
	return byAdministrator(found(v1alpha1.AutoscalerPrometheusUnreachable,
		fmt.Sprintf("Prometheus, of whose series the %s is made, does not answer.", v.measured()),
		"An administrator acts on the condition PrometheusReady of MetricsPipeline default, which has the error."))
}

func seriesNamespaceLabel(v view) *Finding {
	series := v.metric.Series
	if !v.served() || v.has() || series.InNamespace > 0 || series.OtherLabel == "" || series.NamespaceLabel == "" {
		return nil
	}
	rule := name(v.metric.Rules[0].ID)
	return byAdministrator(found(v1alpha1.AutoscalerSeriesNamespaceLabel,
		fmt.Sprintf("The series of rule %s have namespace %s in the label %s, and the rule reads it from %s.",
			rule, name(v.HPA.Namespace), quoted(series.OtherLabel), quoted(series.NamespaceLabel)),
		fmt.Sprintf("An administrator names %s in resources of rule %s, with a matcher in its seriesQuery and its metricsQuery that no "+
			"other app meets.", quoted(series.OtherLabel), rule)))
}

func seriesObjectLabel(v view) *Finding {
	series := v.metric.Series
	if !v.served() || v.has() || series.OtherObjectLabel == "" {
		return nil
	}
	rule := name(v.metric.Rules[0].ID)
	return byAdministrator(found(v1alpha1.AutoscalerSeriesObjectLabel,
		fmt.Sprintf("The series of rule %s name %s in the label %s, and the rule reads it from %s.",
			rule, v.subject(), quoted(series.OtherObjectLabel), quoted(series.ObjectLabel)),
		fmt.Sprintf("An administrator names %s in resources of rule %s.", quoted(series.OtherObjectLabel), rule)))
}

// derived is the origin of a rule that the spec has not.
const derived = "Derived"

// seriesMissing is the finding where what is scraped does not explain why there are no series.
func seriesMissing(v view) *Finding {
	finding := noSeries(v)
	if finding != nil && v.scaledToZero() {
		return found(finding.Reason, finding.Cause, "Have what runs while "+v.target()+" has 0 replicas expose the metric, or set "+
			"minReplicas of "+v.hpa()+" to 1: nothing else wakes it.")
	}
	return finding
}

func noSeries(v view) *Finding {
	series := v.metric.Series
	if !v.served() || v.has() {
		return nil
	}
	rule, namespace := name(v.metric.Rules[0].ID), name(v.HPA.Namespace)
	switch {
	case v.spec.External == nil && series.InNamespace > 0 && len(series.OtherObjects) == 0:
		return found(v1alpha1.AutoscalerSeriesWithoutObject,
			fmt.Sprintf("The %s of rule %s in namespace %s have no label %s, by which the rule finds %s.",
				count(series.InNamespace, "series"), rule, namespace, quoted(series.ObjectLabel), v.subject()),
			fmt.Sprintf("Have what exposes these series, or its monitor, set the label %s.", quoted(series.ObjectLabel)))
	case v.spec.External == nil && series.InNamespace > 0:
		return found(v1alpha1.AutoscalerSeriesOfOthers,
			fmt.Sprintf("The %s of rule %s in namespace %s have the label %s of others, such as %s, and none of %s.",
				count(series.InNamespace, "series"), rule, namespace, quoted(series.ObjectLabel), names(series.OtherObjects), v.subject()),
			v.exposed("Have the app of "+v.exposer()+" expose the series, or name the workload that does in "+v.hpa()+"."))
	case !series.LastSeen.IsZero():
		return found(v1alpha1.AutoscalerSeriesStale,
			fmt.Sprintf("The series of rule %s have ended: the newest sample of %s is of %s, %s ago.",
				rule, v.subject(), series.LastSeen.UTC().Format(time.TimeOnly+" UTC"), ago(v.Now.Sub(series.LastSeen))),
			v.exposed("Have the app expose them again; a metric has a value while its series have samples."))
	case series.Total == 0 && v.metric.Rules[0].Origin != derived: // Of a derived rule no series elsewhere are counted.
		return found(v1alpha1.AutoscalerSeriesMissing,
			fmt.Sprintf("Prometheus has no series of rule %s, which makes the %s%s.", rule, v.measured(), v.seriesQuery()),
			v.exposed("Have the app expose the metric under the name that the rule reads."))
	default:
		return found(v1alpha1.AutoscalerSeriesNotInNamespace,
			fmt.Sprintf("Prometheus has no series of rule %s in namespace %s%s.", rule, namespace, v.seriesQuery()),
			v.exposed("Have an app of namespace "+namespace+" expose the metric under the name that the rule reads."))
	}
}

// exposed is how series come to be: of an app, or of an ingress controller.
func (v view) exposed(byApp string) string {
	if !v.metric.FromController {
		return byApp
	}
	return fmt.Sprintf("Send a request to %s through the ingress controller, which has no series of an object before the first one; or "+
		"have an administrator see that Prometheus scrapes the controller in the namespace that rule %s names.", v.subject(), v.ruleID())
}

// seriesQuery is what the rule reads.
func (v view) seriesQuery() string {
	if query := v.metric.Rules[0].SeriesQuery; query != "" {
		return ": it reads " + quoted(query)
	}
	return ""
}
