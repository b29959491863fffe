// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package prometheusadapter

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/metricspipeline/operator/api/v1alpha1"
	"github.com/metricspipeline/operator/internal/operand"
	"github.com/metricspipeline/operator/internal/operand/operandtest"
)

// judged plans for some rules and what has been counted of their series, and returns the states by id.
func judged(t *testing.T, series map[string]int64, all ...v1alpha1.CustomMetricRule) (map[string]v1alpha1.RuleStatus, operand.Proposal) {
	t.Helper()
	in := operand.Input{Facts: operandtest.Facts()}
	in.Spec.CustomMetrics.Rules, in.Facts.Prometheus.Series = all, series
	proposal, err := New().Plan(in)
	if err != nil {
		t.Fatal(err)
	}
	states := map[string]v1alpha1.RuleStatus{}
	for _, status := range proposal.Rules {
		states[status.ID] = status
	}
	return states, proposal
}

func podRule(id, series, query string) v1alpha1.CustomMetricRule {
	return v1alpha1.CustomMetricRule{
		MetricRule: v1alpha1.MetricRule{ID: id, SeriesQuery: series, MetricsQuery: query},
		Resources: v1alpha1.ResourceMapping{Overrides: map[string]v1alpha1.GroupResource{
			"namespace": {Resource: "namespace"}, "pod": {Resource: "pod"}}},
	}
}

const summed = "sum(<<.Series>>{<<.LabelMatchers>>}) by (<<.GroupBy>>)"

// all has every selector of a proposal counted alike.
func all(proposal operand.Proposal, number int64) map[string]int64 {
	series := map[string]int64{}
	for _, selector := range proposal.Series {
		series[selector.Text] = number
	}
	return series
}

// TestSeriesOfRules: until everything about a rule is counted, nothing is said of its series. What is as it should be is settled.
func TestSeriesOfRules(t *testing.T) {
	rule := podRule("a", `requests{namespace!="",pod!=""}`, summed)
	states, first := judged(t, nil, rule)
	if want := (v1alpha1.RuleStatus{API: "custom.metrics.k8s.io", ID: "a", State: v1alpha1.RuleInUse}); !cmp.Equal(states["a"], want) {
		t.Errorf("before: %+v", states["a"])
	}
	if want := []operand.RuleName{{API: "custom.metrics.k8s.io", ID: "a"}}; !cmp.Equal(first.Uncounted, want) {
		t.Errorf("uncounted: %+v", first.Uncounted)
	}
	part := all(first, 2)
	delete(part, first.Series[len(first.Series)-1].Text)
	if _, proposal := judged(t, part, rule); len(proposal.Uncounted) != 1 {
		t.Error("a part of what is to be counted is enough")
	}
	states, proposal := judged(t, all(first, 2), rule)
	if status := states["a"]; status.State != v1alpha1.RuleInUse || status.Series == nil || *status.Series != 2 || status.Message != "" {
		t.Errorf("with series: %+v", status)
	}
	if len(proposal.Uncounted) > 0 || !proposal.Series[0].Settled {
		t.Errorf("with series: %+v", proposal)
	}
	states, proposal = judged(t, all(first, 0), rule)
	if status := states["a"]; status.State != v1alpha1.RuleInUse || *status.Series != 0 || !strings.Contains(status.Message, "no series") {
		t.Errorf("without series: %+v", status)
	}
	if proposal.Series[0].Settled {
		t.Error("series that are not there yet are not looked for again")
	}
}

// TestWarnedRulesServe: a rule that cannot work is run all the same, since the adapter accepts it.
func TestWarnedRulesServe(t *testing.T) {
	states, proposal := judged(t, nil, podRule("empty", "requests", "sum(<<.Series>>{<<.LabelMatchers>>})"), podRule("fine", "errors", summed))
	if status := states["empty"]; status.State != v1alpha1.RuleWarned || !strings.Contains(status.Message, "always empty") {
		t.Errorf("%+v", status)
	}
	if states["fine"].State != v1alpha1.RuleInUse || !strings.Contains(proposal.Component.Files["config.yaml"], "seriesQuery: requests") {
		t.Errorf("%+v", states)
	}
}

// TestRulesOfOneName: the adapter serves the later of two rules that make one metric, and the earlier one says so.
func TestRulesOfOneName(t *testing.T) {
	one, other := podRule("one", "requests", summed), podRule("other", "requests", strings.Replace(summed, "sum", "max", 1))
	states, _ := judged(t, nil, one, other)
	if status := states["one"]; status.State != v1alpha1.RuleWarned ||
		!strings.Contains(status.Message, "rule other of spec.customMetrics makes the metric requests too") {
		t.Errorf("%+v", status)
	}
	if states["other"].State != v1alpha1.RuleInUse {
		t.Errorf("the one that serves: %+v", states["other"])
	}
	other.MetricsQuery = "max(<<.Series>>{<<.LabelMatchers>>})"
	if states, _ := judged(t, nil, one, other); states["one"].State != v1alpha1.RuleInUse {
		t.Errorf("beside a rule that cannot work: %+v", states["one"])
	}

	// Rules of two series, as for two versions of an app, are in each other's way only where both have series.
	other = podRule("other", "http_requests", summed)
	other.Name.As = "requests"
	states, first := judged(t, nil, one, other)
	if states["one"].State != v1alpha1.RuleInUse {
		t.Errorf("uncounted: %+v", states["one"])
	}
	series := all(first, 1)
	if states, _ := judged(t, series, one, other); states["one"].State != v1alpha1.RuleWarned {
		t.Errorf("both have series: %+v", states["one"])
	}
	for selector := range series {
		if strings.Contains(selector, "http_requests") {
			series[selector] = 0
		}
	}
	if states, _ := judged(t, series, one, other); states["one"].State != v1alpha1.RuleInUse {
		t.Errorf("the later one has none: %+v", states["one"])
	}

	// The two APIs do not share names.
	in := operand.Input{Facts: operandtest.Facts()}
	in.Spec = operandtest.Spec()
	in.Spec.ExternalMetrics.Rules[0].SeriesQuery = in.Spec.CustomMetrics.Rules[0].SeriesQuery
	proposal, err := New().Plan(in)
	if err != nil || proposal.Rules[0].State != v1alpha1.RuleInUse {
		t.Errorf("of two APIs: %+v, %v", proposal.Rules, err)
	}
}
