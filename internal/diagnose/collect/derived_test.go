// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package collect

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/metricspipeline/operator/api/v1alpha1"
	"github.com/metricspipeline/operator/internal/derive"
	"github.com/metricspipeline/operator/internal/diagnose"
)

func TestDerived(t *testing.T) {
	growing := sample{value: 1, growth: 1}
	mine := store{`http_requests_total{namespace="shop",pod="web-5d7f9-abcde"}`: growing, `http_requests_total{namespace="shop",pod="other"}`: growing}
	const id = "derived/http_requests_per_second/pods"
	listed := func(w *world) {
		w.pipeline.Status.Rules = []v1alpha1.RuleStatus{{API: "custom.metrics.k8s.io", ID: id, Origin: v1alpha1.RuleDerived, State: v1alpha1.RuleInUse}}
	}
	exceeding := func(w *world) {
		w.change = func(s *Sources) {
			s.Derived = func(derive.Ask) *derive.Problem {
				return &derive.Problem{Reason: v1alpha1.AutoscalerDeriveLimit, Message: "There are 20 rules."}
			}
		}
	}
	candidate := []diagnose.Candidate{{Series: "http_requests_total", How: "the rate of http_requests_total", Samples: 1}}
	for name, test := range map[string]struct {
		change     func(*world)
		store      store
		rule       string
		candidates []diagnose.Candidate
		reason     string
		disabled   bool
	}{
		"in force":                       {change: listed, store: mine, rule: id, candidates: candidate},
		"not yet":                        {store: mine, candidates: candidate},
		"in force, and not listed":       {change: func(w *world) { w.pipeline.Status.RulesTotal.Derived = 30 }, store: mine, rule: id, candidates: candidate},
		"series of others":               {store: store{`http_requests_total{namespace="other",pod="web-0"}`: growing}, reason: v1alpha1.AutoscalerRuleMissing},
		"refused by its name":            {change: func(w *world) { w.hpa = hpa(podsMetric("latency_p99", nil)) }, reason: v1alpha1.AutoscalerDeriveQuantile},
		"disabled":                       {change: func(w *world) { w.pipeline.Spec.CustomMetrics.Derive = v1alpha1.DeriveDisabled }, store: mine, disabled: true},
		"too many rules":                 {change: exceeding, store: mine, candidates: candidate, reason: v1alpha1.AutoscalerDeriveLimit},
		"in force for other series":      {change: func(w *world) { listed(w); exceeding(w) }, store: mine, candidates: candidate, reason: v1alpha1.AutoscalerDeriveLimit},
		"a stated rule makes the metric": {change: func(w *world) { w.pipeline.Spec.CustomMetrics.Rules = pipeline().Spec.CustomMetrics.Rules }, store: mine, rule: "requests"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(func(w *world) {
				w.store, w.pipeline.Spec.CustomMetrics.Rules, w.objects = test.store, nil, []client.Object{pod("web-5d7f9-abcde")}
			})
			if test.change != nil {
				test.change(w)
			}
			metric := w.collect(t).Metrics[0]
			rule := ""
			if len(metric.Rules) > 0 {
				rule = metric.Rules[0].ID
			}
			if diff := cmp.Diff(test.candidates, metric.Candidates); diff != "" || rule != test.rule || metric.CandidatesReason != test.reason ||
				metric.DeriveDisabled != test.disabled || (metric.CandidatesProblem == "") != (test.reason == "") {
				t.Errorf("%s\nrule %q, reason %q: %s", diff, rule, metric.CandidatesReason, metric.CandidatesProblem)
			}
			if rule == id && (metric.Rules[0].Origin != "Derived" || metric.Rules[0].Query != `sum(rate(http_requests_total{namespace="shop",pod="web-5d7f9-abcde"}[5m])) by (pod)` || metric.Series.ForPods != 1) {
				t.Errorf("%+v", metric)
			}
		})
	}
}
