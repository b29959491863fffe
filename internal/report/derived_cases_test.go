// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package report

import (
	"fmt"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/utils/ptr"

	"github.com/metricspipeline/operator/api/v1alpha1"
	"github.com/metricspipeline/operator/internal/metricsapi"
	"github.com/metricspipeline/operator/internal/operand"
)

// derivedRule is one that follows from the HPA web of a namespace.
func derivedRule(namespace string, number int) v1alpha1.RuleStatus {
	return v1alpha1.RuleStatus{ID: fmt.Sprintf("derived/%s_%03d", namespace, number), API: metricsapi.External.Group, State: v1alpha1.RuleInUse,
		Origin: v1alpha1.RuleDerived, Autoscaler: namespace + "/web"}
}

// TestDerivedRulesAreListed after those of the spec, in the places that are left, of which no namespace takes those of another.
func TestDerivedRulesAreListed(t *testing.T) {
	_, status := statusOf(func(o *Observation) {
		o.Plan.Rules = []v1alpha1.RuleStatus{rule("b", v1alpha1.RuleInUse, ""), rule("a", v1alpha1.RuleRejected, "bad")}
		for i := range 100 {
			o.Plan.Derived = append(o.Plan.Derived, derivedRule("many", i))
		}
		o.Plan.Derived = append(o.Plan.Derived, derivedRule("one", 0))
	})
	var ids []string
	for _, r := range status.Rules {
		ids = append(ids, r.ID)
	}
	if len(ids) != mostRules || !slices.Equal(ids[:3], []string{"a", "b", "derived/many_000"}) || !slices.Contains(ids, "derived/one_000") {
		t.Errorf("rules %q", ids)
	}
	if want := (v1alpha1.RuleTotals{InUse: 1, Rejected: 1, Derived: 101}); status.RulesTotal != want {
		t.Errorf("totals %+v", status.RulesTotal)
	}
}

// TestUndecidedDerivedRulesKeepWhatIsSaid: after a start it is not known yet who asks for them, and how many series there are.
func TestUndecidedDerivedRulesKeepWhatIsSaid(t *testing.T) {
	full := derivedRule("shop", 1)
	full.Autoscalers, full.Series = 3, ptr.To[int64](7)
	_, before := statusOf(func(o *Observation) { o.Plan.Derived = []v1alpha1.RuleStatus{full} })
	o, _ := statusOf(func(o *Observation) {
		o.Plan.Derived = []v1alpha1.RuleStatus{derivedRule("shop", 1)}
		o.Plan.Uncounted = []operand.RuleName{{API: full.API, ID: full.ID}}
	})
	if diff := cmp.Diff(before.Rules, Status(o, before).Rules); diff != "" {
		t.Errorf("rules (-before +after):\n%s", diff)
	}
}

// TestDerivedRulesNeedPrometheus: an HPA that asks is not yet a reason to demand one, and a rule in force is.
func TestDerivedRulesNeedPrometheus(t *testing.T) {
	unruled := func(o *Observation) { o.Plan.Rules, o.Facts.Prometheus.Required = nil, false }
	_, status := statusOf(unruled)
	wantConditions(t, status, map[string]string{v1alpha1.ConditionPrometheusReady: "True NotRequired"})
	_, status = statusOf(unruled, func(o *Observation) { o.Plan.Derived = []v1alpha1.RuleStatus{derivedRule("shop", 1)} })
	wantConditions(t, status, map[string]string{v1alpha1.ConditionPrometheusReady: "True Reachable"})
}
