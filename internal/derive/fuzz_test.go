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

// FuzzQuestions: whatever an HPA says, what is sent to Prometheus is one selector of series of the HPA's own namespace, and what follows is
// a rule of the grammar.
func FuzzQuestions(f *testing.F) {
	for _, kind := range []string{"Deployment", "StatefulSet", "Service", "Ingress", "Job"} {
		f.Add("shop", uint8(0), "http_requests_per_second", "", kind, "web", "web")
		f.Add("shop", uint8(1), "queue_depth", "queue in (a,b),!c", kind, "web", "web")
		f.Add(`a"}`, uint8(2), `x"} or {__name__=~"y`, `namespace!=shop,a!="`, kind, `web"} or {x=~".*`, ".*")
	}
	f.Fuzz(func(t *testing.T, namespace string, of uint8, metric, selector, kind, object, target string) {
		types := []autoscalingv2.MetricSourceType{autoscalingv2.PodsMetricSourceType, autoscalingv2.ObjectMetricSourceType, autoscalingv2.ExternalMetricSourceType}
		ask := Ask{Metric: autoscaler.Metric{Namespace: namespace, Type: types[int(of)%len(types)], Name: metric, Selector: selector, APIVersion: "v1", Kind: kind},
			HPA: "web", Target: autoscalingv2.CrossVersionObjectReference{Kind: kind, Name: target}, Object: object}
		questions, problem := Questions(ask)
		if problem != nil {
			return
		}
		for _, q := range questions {
			expr, err := promQL.ParseExpr(q.Selector)
			if err != nil {
				t.Fatalf("%s: %v", q.Selector, err)
			}
			vector, is := expr.(*parser.VectorSelector)
			if !is || !slices.ContainsFunc(vector.LabelMatchers, func(m *labels.Matcher) bool {
				return m.Type == labels.MatchEqual && m.Name == q.Labels.Namespace && m.Value == namespace
			}) {
				t.Errorf("%s is not about namespace %s alone", q.Selector, namespace)
			}
		}
		answers := func(string) (Answer, bool) {
			return Answer{metric: {Series: 1}, metric + "_total": {Series: 1}, "up": {Series: 1}, `x"}`: {Series: 1}}, true
		}
		d := Decide(Input{Asked: []Ask{ask}, Served: unstated, Answers: answers})
		for _, rule := range d.Rules {
			if !rule.Valid() {
				t.Errorf("%+v is outside of the grammar", rule)
			}
			expr, err := promQL.ParseExpr(rule.shared(leastWindow).SeriesQuery)
			if _, is := expr.(*parser.VectorSelector); err != nil || !is {
				t.Errorf("%s: %v", rule.shared(leastWindow).SeriesQuery, err)
			}
		}
	})
}
