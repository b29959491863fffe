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
	"github.com/metricspipeline/operator/internal/operand/prometheusadapter/rules"
)

const (
	custom, external = "custom.metrics.k8s.io/", "external.metrics.k8s.io/"

	inUse, lastGood, rejected = v1alpha1.RuleInUse, v1alpha1.RuleLastGood, v1alpha1.RuleRejected
)

// story is an operand over several edits of a spec. What is planned is applied and stored after each, and the operator
// restarts before the next: nothing but the stored form is carried over.
type story struct {
	t  *testing.T
	in operand.Input
}

// customRules replaces the custom rules by rules whose seriesQuery is given as id=query.
func (s *story) customRules(pairs ...string) operand.Proposal {
	s.t.Helper()
	s.in.Spec.CustomMetrics.Rules = nil
	for _, pair := range pairs {
		id, query, _ := strings.Cut(pair, "=")
		rule := operandtest.CustomRule(id)
		rule.SeriesQuery = query
		s.in.Spec.CustomMetrics.Rules = append(s.in.Spec.CustomMetrics.Rules, rule)
	}
	return s.next()
}

// next plans, and applies what is planned.
func (s *story) next() operand.Proposal {
	s.t.Helper()
	proposal := plan(s.t, s.in)
	if proposal.Component != nil {
		s.in.LastGood = applied(s.t, s.in)
	}
	return proposal
}

// runs returns the seriesQuery of each rule that the stored form runs.
func (s *story) runs() string {
	s.t.Helper()
	var queries []string
	for _, line := range strings.Split(s.in.LastGood.Component.Files[rules.ConfigFile], "\n") {
		if _, query, found := strings.Cut(line, "seriesQuery: "); found {
			queries = append(queries, query)
		}
	}
	return strings.Join(queries, " ")
}

func (s *story) expect(proposal operand.Proposal, want map[string]v1alpha1.RuleState, runs string) {
	s.t.Helper()
	if diff := cmp.Diff(want, states(proposal)); diff != "" {
		s.t.Errorf("rules (-want +got):\n%s", diff)
	}
	if got := s.runs(); got != runs {
		s.t.Errorf("runs %q, want %q", got, runs)
	}
}

// TestLastGoodRule: a mistake in a rule leaves its last good form in use until it is corrected or removed.
func TestLastGoodRule(t *testing.T) {
	s := &story{t: t, in: input()}
	s.in.Spec.ExternalMetrics.Rules = nil
	s.expect(s.customRules("a=first", "b=other"), map[string]v1alpha1.RuleState{custom + "a": inUse, custom + "b": inUse}, "first other")

	edited := s.customRules("a=first{", "b=other")
	s.expect(edited, map[string]v1alpha1.RuleState{custom + "a": lastGood, custom + "b": inUse}, "first other")
	if message := edited.Rules[0].Message; !strings.Contains(message, `seriesQuery "first{"`) {
		t.Errorf("the message does not name field and value: %s", message)
	}
	// A second restart, and another mistake.
	s.expect(s.customRules("a=first[", "b=other"), map[string]v1alpha1.RuleState{custom + "a": lastGood, custom + "b": inUse}, "first other")

	s.expect(s.customRules("a=third", "b=other"), map[string]v1alpha1.RuleState{custom + "a": inUse, custom + "b": inUse}, "third other")
	s.expect(s.customRules("b=other"), map[string]v1alpha1.RuleState{custom + "b": inUse}, "other")
	s.expect(s.customRules("a={", "b=other"), map[string]v1alpha1.RuleState{custom + "a": rejected, custom + "b": inUse}, "other")
}

// TestRemovedWhileBad: a rule that is removed serves no more, also where its last good form served.
func TestRemovedWhileBad(t *testing.T) {
	s := &story{t: t, in: input()}
	s.in.Spec.ExternalMetrics.Rules = nil
	s.customRules("a=first", "b=other")
	s.customRules("a={", "b=other")
	s.expect(s.customRules("b=other"), map[string]v1alpha1.RuleState{custom + "b": inUse}, "other")
}

// TestWholeSectionBad: where all rules of an API are bad under new ids, those that served before go on, for the API's sake.
func TestWholeSectionBad(t *testing.T) {
	s := &story{t: t, in: input()}
	want := []string{"v1beta1.custom.metrics.k8s.io", "v1beta1.external.metrics.k8s.io", "v1beta2.custom.metrics.k8s.io"}
	s.customRules("a=first", "b=other")
	for range 2 {
		proposal := s.customRules("c={", "d=[")
		s.expect(proposal, map[string]v1alpha1.RuleState{custom + "a": lastGood, custom + "b": lastGood, custom + "c": rejected,
			custom + "d": rejected, external + "depth": inUse}, "queue_depth first other")
		for _, removed := range proposal.Removed {
			if !strings.HasPrefix(removed.Message, "spec.customMetrics.rules does not have this rule any more, and it serves because none of the 2") {
				t.Errorf("rule %s: %s", removed.ID, removed.Message)
			}
		}
		if diff := cmp.Diff(want, apis(proposal.Component)); diff != "" {
			t.Errorf("APIs (-want +got):\n%s", diff)
		}
	}
	s.expect(s.customRules("c=new", "d=["), map[string]v1alpha1.RuleState{custom + "c": inUse, custom + "d": rejected, external + "depth": inUse},
		"queue_depth new")
}

// TestRulesOfTwoAPIs are not mixed up where they have the same id.
func TestRulesOfTwoAPIs(t *testing.T) {
	s := &story{t: t, in: input()}
	s.in.Spec.ExternalMetrics.Rules[0].ID = "a"
	s.customRules("a=first")
	s.expect(s.customRules("a={"), map[string]v1alpha1.RuleState{custom + "a": lastGood, external + "a": inUse}, "queue_depth first")
	s.in.Spec.ExternalMetrics.Rules[0].SeriesQuery = "{"
	s.expect(s.customRules("a=other"), map[string]v1alpha1.RuleState{custom + "a": inUse, external + "a": lastGood}, "queue_depth other")
}

// TestDormantRule: the form of a rule that cannot serve for a while, as when a CRD is absent, is kept for when it can.
func TestDormantRule(t *testing.T) {
	s := &story{t: t, in: input()}
	s.in.Spec.ExternalMetrics.Rules = nil
	widget := operandtest.CustomRule("widgets")
	widget.Resources = v1alpha1.ResourceMapping{Overrides: map[string]v1alpha1.GroupResource{
		"namespace": {Resource: "namespace"}, "widget": {Group: "example.com", Resource: "widgets"}}}
	s.in.Spec.CustomMetrics.Rules = []v1alpha1.CustomMetricRule{operandtest.CustomRule("requests"), widget}
	s.expect(s.next(), map[string]v1alpha1.RuleState{custom + "requests": inUse, custom + "widgets": inUse},
		"http_requests_total http_requests_total")

	s.in.Facts.Mapper = withoutWidgets()
	s.in.Spec.CustomMetrics.Rules[1].MetricsQuery = "sum("
	for range 2 {
		s.expect(s.next(), map[string]v1alpha1.RuleState{custom + "requests": inUse, custom + "widgets": rejected}, "http_requests_total")
	}

	s.in.Facts.Mapper = operandtest.Mapper()
	s.expect(s.next(), map[string]v1alpha1.RuleState{custom + "requests": inUse, custom + "widgets": lastGood},
		"http_requests_total http_requests_total")
}

// TestMemoryOfAnotherVersion is ignored: what is not understood is not put back, and nothing fails for it.
func TestMemoryOfAnotherVersion(t *testing.T) {
	half := strings.TrimSuffix(string(applied(t, input()).Memory), "]") + `,"text"]`
	for _, memory := range []string{"", "{", `{"version":2}`, `["text"]`, `[{"kind":"other"}]`, "null", half} {
		in := input()
		in.LastGood = applied(t, in)
		in.LastGood.Memory = []byte(memory)
		in.Spec.CustomMetrics.Rules[0].SeriesQuery = "{"
		if diff := cmp.Diff(map[string]v1alpha1.RuleState{custom + "requests": rejected, external + "depth": inUse}, states(plan(t, in))); diff != "" {
			t.Errorf("%q (-want +got):\n%s", memory, diff)
		}
	}
}
