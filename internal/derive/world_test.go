// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package derive

import (
	"slices"
	"testing"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql/parser"
	autoscalingv2 "k8s.io/api/autoscaling/v2"

	"github.com/metricspipeline/operator/internal/autoscaler"
)

var promQL = parser.NewParser(parser.Options{})

// store is a Prometheus with some series.
type store []string

// answers returns what the store answers to every selector.
func (s store) answers(t *testing.T) Answers {
	t.Helper()
	var all []labels.Labels
	for _, series := range s {
		metric, err := promQL.ParseMetric(series)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, metric)
	}
	return func(selector string) (Answer, bool) {
		expr, err := promQL.ParseExpr(selector)
		if err != nil {
			t.Fatalf("%s: %v", selector, err)
		}
		answer := Answer{}
		for _, metric := range all {
			if slices.ContainsFunc(expr.(*parser.VectorSelector).LabelMatchers, func(m *labels.Matcher) bool { return !m.Matches(metric.Get(m.Name)) }) {
				continue
			}
			count := answer[metric.Get("__name__")]
			count.Series++
			count.Quantiles = count.Quantiles || metric.Get("quantile") != ""
			answer[metric.Get("__name__")] = count
		}
		return answer, true
	}
}

// unanswered is a Prometheus that has answered nothing.
func unanswered(string) (Answer, bool) { return nil, false }

// unstated is a spec without rules.
func unstated(Key, []string) bool { return false }

// ofPods is a metric of the pods of Deployment web in namespace shop.
func ofPods(metric string) Ask {
	return Ask{Metric: autoscaler.Metric{Namespace: "shop", Type: autoscalingv2.PodsMetricSourceType, Name: metric}, HPA: "web",
		Target: autoscalingv2.CrossVersionObjectReference{APIVersion: "apps/v1", Kind: "Deployment", Name: "web"}}
}

// ofObject is a metric of an object in namespace shop.
func ofObject(metric, apiVersion, kind, name string) Ask {
	asked := ofPods(metric)
	asked.Type = autoscalingv2.ObjectMetricSourceType
	asked.APIVersion, asked.Kind, asked.Object = apiVersion, kind, name
	return asked
}

// ofNothing is an external metric of namespace shop.
func ofNothing(metric, selector string) Ask {
	asked := ofPods(metric)
	asked.Type = autoscalingv2.ExternalMetricSourceType
	asked.Selector = selector
	return asked
}

// by is the same metric asked by another HPA.
func by(asked Ask, namespace, name string) Ask {
	asked.Namespace, asked.HPA = namespace, name
	return asked
}
