// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package report

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/metricspipeline/operator/api/v1alpha1"
	"github.com/metricspipeline/operator/internal/cluster"
	"github.com/metricspipeline/operator/internal/metricsapi"
	"github.com/metricspipeline/operator/internal/prometheus"
)

// TestRulesWait: while what serves them is kept as it is, no rule is said to be in use that may not be.
func TestRulesWait(t *testing.T) {
	retained := func(o *Observation) {
		planOf(o, rulesServer).Retained = "what the cluster offers is not known in full."
	}
	for name, tc := range map[string]struct {
		change func(*Observation)
		want   string
	}{
		"no Prometheus is known": {func(o *Observation) {
			o.Facts.Prometheus.Target, o.Facts.Prometheus.NotFound = prometheus.Target{}, &prometheus.NotFoundError{}
		}, "in use as soon as PrometheusReady is True."},
		"a credential is missing": {func(o *Observation) { o.Facts.Prometheus.CredentialsMissing = "there is no Secret x" },
			"in use as soon as PrometheusReady is True."},
		"another Prometheus does not answer": {func(o *Observation) {
			retained(o)
			o.Facts.Prometheus.Answer.Err = errors.New("refused")
		}, "in use as soon as PrometheusReady is True."},
		"another Prometheus has not answered": {func(o *Observation) {
			retained(o)
			o.Facts.Prometheus.Answer.Known = false
		}, "in use as soon as PrometheusReady is True."},
		"they are retained for another reason": {retained,
			"in use as soon as rules-server is retained no longer: what the cluster offers is not known in full."},
		"what is retained serves no rule": {func(o *Observation) { planOf(o, usageServer).Retained = "away." }, "All 2 rules are in use."},
	} {
		_, status := statusOf(tc.change)
		accepted := meta.FindStatusCondition(status.Conditions, v1alpha1.ConditionRulesAccepted)
		if accepted.Status != metav1.ConditionTrue || !strings.HasSuffix(accepted.Message, tc.want) {
			t.Errorf("%s: %s %s", name, accepted.Status, accepted.Message)
		}
	}
}

func TestRulesAreCapped(t *testing.T) {
	for _, count := range []int{0, 1, 20, 21, 256} {
		_, got := statusOf(func(o *Observation) {
			o.Plan.Rules = nil
			for i := range 256 {
				state := v1alpha1.RuleInUse
				if i >= 256-count {
					state = v1alpha1.RuleRejected
				}
				o.Plan.Rules = append(o.Plan.Rules, rule(fmt.Sprint(i), state, "bad"))
			}
		})
		want := v1alpha1.RuleTotals{InUse: int32(256 - count), Rejected: int32(count)}
		if len(got.Rules) != 20 || got.RulesTotal != want {
			t.Errorf("%d rejected: %d are listed, and the totals are %+v", count, len(got.Rules), got.RulesTotal)
		}
		if first := fmt.Sprint((256 - count) % 256); got.Rules[0].ID != first {
			t.Errorf("%d rejected: the first is %s, want %s", count, got.Rules[0].ID, first)
		}
	}
}

// TestRulesAreSorted by how much they need attention, and else as in the spec.
func TestRulesAreSorted(t *testing.T) {
	_, got := statusOf(func(o *Observation) {
		o.Plan.Rules = []v1alpha1.RuleStatus{
			rule("a", v1alpha1.RuleInUse, ""), rule("b", v1alpha1.RuleLastGood, "bad"), rule("c", v1alpha1.RuleRejected, "bad"),
			rule("d", v1alpha1.RuleInUse, ""), rule("e", v1alpha1.RuleRejected, "bad"), rule("f", v1alpha1.RuleLastGood, "bad"),
		}
		o.Plan.Removed = []v1alpha1.RuleStatus{rule("removed", v1alpha1.RuleLastGood, "")}
	})
	var ids []string
	for _, r := range got.Rules {
		ids = append(ids, r.ID)
	}
	if diff := cmp.Diff([]string{"c", "e", "b", "f", "removed", "a", "d"}, ids); diff != "" {
		t.Errorf("rules (-want +got):\n%s", diff)
	}
	if want := (v1alpha1.RuleTotals{InUse: 2, LastGood: 3, Rejected: 2}); got.RulesTotal != want {
		t.Errorf("totals %+v", got.RulesTotal)
	}
}

// TestUncheckedRulesKeepTheirStates: an API server without an answer is no change of the rules.
func TestUncheckedRulesKeepTheirStates(t *testing.T) {
	_, before := statusOf(func(o *Observation) {
		o.Plan.Rules = append(o.Plan.Rules, rule("errors", v1alpha1.RuleLastGood, "bad"))
	})
	o, _ := statusOf(func(o *Observation) {
		o.Spec.ExternalMetrics.Rules = make([]v1alpha1.ExternalMetricRule, 1)
		o.Plan.Rules = nil
	})
	after := Status(o, before)
	if diff := cmp.Diff(before.Rules, after.Rules); diff != "" || after.RulesTotal != before.RulesTotal {
		t.Errorf("totals %+v, rules (-before +after):\n%s", after.RulesTotal, diff)
	}
	wantConditions(t, after, map[string]string{v1alpha1.ConditionRulesAccepted: "False LastGoodInUse"})

	// Those of an API that is not ours to serve are not to be checked.
	o.Plan.Omitted[metricsapi.External.Name()] = metricsapi.Omission{Reason: v1alpha1.ReasonServedByOther}
	if after := Status(o, before); after.Rules != nil || after.RulesTotal != (v1alpha1.RuleTotals{}) {
		t.Errorf("rules %+v, totals %+v", after.Rules, after.RulesTotal)
	}
}

// TestAPIWithoutSource: an API that answers says so where its backend has nothing to answer from.
func TestAPIWithoutSource(t *testing.T) {
	const says = "said kube-aggregator Its backend has no usable Prometheus, so metrics may be missing: see the condition PrometheusReady."
	_, before := statusOf(func(o *Observation) { o.Facts.Prometheus.Answer.Err = errors.New("refused") })
	for name, tc := range map[string]struct {
		change func(*cluster.Prometheus)
		before v1alpha1.MetricsPipelineStatus
		want   string
	}{
		"it answers":                        {func(*cluster.Prometheus) {}, before, "said kube-aggregator"},
		"it does not answer":                {func(p *cluster.Prometheus) { p.Answer.Err = errors.New("refused") }, v1alpha1.MetricsPipelineStatus{}, says},
		"it has shards":                     {func(p *cluster.Prometheus) { p.Target.Shards = 3 }, v1alpha1.MetricsPipelineStatus{}, says},
		"a credential is missing":           {func(p *cluster.Prometheus) { p.CredentialsMissing = "no Secret" }, v1alpha1.MetricsPipelineStatus{}, says},
		"it is being queried":               {func(p *cluster.Prometheus) { p.Answer.Known = false }, v1alpha1.MetricsPipelineStatus{}, "said kube-aggregator"},
		"it is being queried after a start": {func(p *cluster.Prometheus) { p.Answer.Known = false }, before, says},
	} {
		o, _ := statusOf(func(o *Observation) { tc.change(&o.Facts.Prometheus) })
		apis := Status(o, tc.before).APIServices
		if apis[0].Message != "said kube-aggregator" || apis[1].Message != tc.want || apis[3].Message != tc.want {
			t.Errorf("%s: %q, %q, %q", name, apis[0].Message, apis[1].Message, apis[3].Message)
		}
	}
}
