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
	"github.com/metricspipeline/operator/internal/metricsapi"
	"github.com/metricspipeline/operator/internal/operand"
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
		"its last good form runs": {func(o *Observation) {
			o.Outcomes = append(o.Outcomes, Outcome{Component: rulesServer, Retained: "a patch does not apply."})
		}, "in use as soon as rules-server is retained no longer: a patch does not apply."},
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
			rule("g", v1alpha1.RuleInUse, "no series yet"), rule("h", v1alpha1.RuleWarned, "always empty"),
		}
		o.Plan.Removed = []v1alpha1.RuleStatus{rule("removed", v1alpha1.RuleLastGood, "")}
	})
	var ids []string
	for _, r := range got.Rules {
		ids = append(ids, r.ID)
	}
	if diff := cmp.Diff([]string{"c", "e", "b", "f", "removed", "h", "g", "a", "d"}, ids); diff != "" {
		t.Errorf("rules (-want +got):\n%s", diff)
	}
	if want := (v1alpha1.RuleTotals{InUse: 3, Warned: 1, LastGood: 3, Rejected: 2}); got.RulesTotal != want {
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

// TestAPIWithoutSource: an API that answers says so where its backend has nothing to answer from, or a part alone.
func TestAPIWithoutSource(t *testing.T) {
	const (
		quiet = "said kube-aggregator"
		none  = quiet + " Its backend has no usable Prometheus, so metrics may be missing: see the condition PrometheusReady."
		part  = quiet + " Its backend queries a part of the series, so metrics may be incomplete: see the condition PrometheusReady."
	)
	refuses := func(o *Observation) { o.Facts.Prometheus.Answer.Err = errors.New("refused") }
	sharded := func(o *Observation) { o.Facts.Prometheus.Target.Shards = 3 }
	probed := func(o *Observation) { o.Facts.Prometheus.Answer.Known = false }
	retained := func(o *Observation) { planOf(o, rulesServer).Retained = "it goes on querying its present Prometheus." }
	nothing := func(*Observation) {}
	for name, tc := range map[string]struct {
		before, now []func(*Observation)
		want        string
	}{
		"it answers":                             {now: []func(*Observation){nothing}, before: []func(*Observation){refuses}, want: quiet},
		"it does not answer":                     {now: []func(*Observation){refuses}, want: none},
		"it has shards":                          {now: []func(*Observation){sharded}, want: part},
		"it has shards no longer":                {now: []func(*Observation){nothing}, before: []func(*Observation){sharded}, want: quiet},
		"a credential is missing":                {now: []func(*Observation){func(o *Observation) { o.Facts.Prometheus.CredentialsMissing = "no Secret" }}, want: none},
		"it is being queried":                    {now: []func(*Observation){probed}, want: quiet},
		"it is being queried after a start":      {now: []func(*Observation){probed}, before: []func(*Observation){refuses}, want: none},
		"its shards are queried after a start":   {now: []func(*Observation){probed, sharded}, before: []func(*Observation){sharded}, want: part},
		"another one does not answer":            {now: []func(*Observation){refuses, retained}, want: quiet},
		"another one was chosen after a failure": {now: []func(*Observation){probed, retained}, before: []func(*Observation){refuses}, want: quiet},
		"another one has shards":                 {now: []func(*Observation){sharded, retained}, want: quiet},
	} {
		_, before := statusOf(tc.before...)
		o, _ := statusOf(tc.now...)
		apis := Status(o, before).APIServices
		if apis[0].Message != quiet || apis[1].Message != tc.want || apis[3].Message != tc.want {
			t.Errorf("%s: %q, %q, %q", name, apis[0].Message, apis[1].Message, apis[3].Message)
		}
	}
}

// TestWarnedRules are in use: they are counted in the message of the condition, which stays True, and the pipeline stays Ready.
func TestWarnedRules(t *testing.T) {
	_, status := statusOf(func(o *Observation) {
		o.Plan.Rules = append(o.Plan.Rules, rule("empty", v1alpha1.RuleWarned, "always empty"))
	})
	wantConditions(t, status, map[string]string{
		v1alpha1.ConditionRulesAccepted: "True AllAccepted", v1alpha1.ConditionStalled: "False NotStalled",
		v1alpha1.ConditionReady: "True Ready"})
	want := "All 3 rules are in use. 1 of them cannot work as written, see status.rules; the first: rule empty of spec.customMetrics: " +
		"always empty."
	if got := meta.FindStatusCondition(status.Conditions, v1alpha1.ConditionRulesAccepted).Message; got != want {
		t.Errorf("message %q", got)
	}
	if ready := meta.FindStatusCondition(status.Conditions, v1alpha1.ConditionReady).Message; strings.Contains(ready, "always empty") {
		t.Errorf("Ready speaks of a warning: %q", ready)
	}
}

// TestUncountedRulesKeepTheirStates: until series are counted anew, as after a restart, what the status says of a rule stays. Nor is it
// written again for a number that is about the same.
func TestUncountedRulesKeepTheirStates(t *testing.T) {
	counted := func(state v1alpha1.RuleState, series int64, message string) v1alpha1.RuleStatus {
		status := rule("requests", state, message)
		status.Series = &series
		return status
	}
	plain := rule("requests", v1alpha1.RuleInUse, "")
	for name, tc := range map[string]struct {
		before, now v1alpha1.RuleStatus
		uncounted   bool
		edited      bool
		want        v1alpha1.RuleStatus
	}{
		"after a restart":                  {counted(v1alpha1.RuleInUse, 3, ""), plain, true, false, counted(v1alpha1.RuleInUse, 3, "")},
		"after a restart, of a warned one": {counted(v1alpha1.RuleWarned, 3, "lost"), plain, true, false, counted(v1alpha1.RuleWarned, 3, "lost")},
		"after an edit":                    {counted(v1alpha1.RuleWarned, 3, "lost"), plain, true, true, plain},
		"found to be wrong":                {counted(v1alpha1.RuleInUse, 3, ""), rule("requests", v1alpha1.RuleWarned, "bad"), true, false, rule("requests", v1alpha1.RuleWarned, "bad")},
		"rejected":                         {counted(v1alpha1.RuleInUse, 3, ""), rule("requests", v1alpha1.RuleRejected, "bad"), true, false, rule("requests", v1alpha1.RuleRejected, "bad")},
		"some more":                        {counted(v1alpha1.RuleInUse, 3, ""), counted(v1alpha1.RuleInUse, 6, ""), false, false, counted(v1alpha1.RuleInUse, 3, "")},
		"many more":                        {counted(v1alpha1.RuleInUse, 3, ""), counted(v1alpha1.RuleInUse, 7, ""), false, false, counted(v1alpha1.RuleInUse, 7, "")},
		"none any more":                    {counted(v1alpha1.RuleInUse, 3, ""), counted(v1alpha1.RuleInUse, 0, "none"), false, false, counted(v1alpha1.RuleInUse, 0, "none")},
		"some at last":                     {counted(v1alpha1.RuleInUse, 0, "none"), counted(v1alpha1.RuleInUse, 1, ""), false, false, counted(v1alpha1.RuleInUse, 1, "")},
		"a warning less":                   {counted(v1alpha1.RuleWarned, 3, "lost"), counted(v1alpha1.RuleInUse, 4, ""), false, false, counted(v1alpha1.RuleInUse, 3, "")},
	} {
		_, before := statusOf(func(o *Observation) { o.Plan.Rules = []v1alpha1.RuleStatus{tc.before} })
		o, _ := statusOf(func(o *Observation) {
			o.Plan.Rules = []v1alpha1.RuleStatus{tc.now}
			if tc.uncounted {
				o.Plan.Uncounted = []operand.RuleName{{API: tc.now.API, ID: tc.now.ID}}
			}
			if tc.edited {
				o.Generation++
			}
		})
		if diff := cmp.Diff([]v1alpha1.RuleStatus{tc.want}, Status(o, before).Rules); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

// TestRuleEvents: one event says which rules are found not to work, and none repeats it.
func TestRuleEvents(t *testing.T) {
	warned := rule("a", v1alpha1.RuleWarned, "always empty")
	for name, tc := range map[string]struct {
		before, after []v1alpha1.RuleStatus
		want          string // In the note; empty for no event.
	}{
		"a new one":        {nil, []v1alpha1.RuleStatus{warned}, "Rule a of spec.customMetrics cannot work as written: always empty."},
		"it worked before": {[]v1alpha1.RuleStatus{rule("a", v1alpha1.RuleInUse, "")}, []v1alpha1.RuleStatus{warned}, "Rule a"},
		"another reason":   {[]v1alpha1.RuleStatus{rule("a", v1alpha1.RuleWarned, "lost")}, []v1alpha1.RuleStatus{warned}, "always empty"},
		"two": {nil, []v1alpha1.RuleStatus{warned, rule("b", v1alpha1.RuleWarned, "lost")},
			"Found 2 rules that cannot work as written, see status.rules; the first: Rule a"},
		"still":     {[]v1alpha1.RuleStatus{warned}, []v1alpha1.RuleStatus{warned}, ""},
		"no longer": {[]v1alpha1.RuleStatus{warned}, []v1alpha1.RuleStatus{rule("a", v1alpha1.RuleInUse, "")}, ""},
		"no series": {nil, []v1alpha1.RuleStatus{rule("a", v1alpha1.RuleInUse, "no series yet")}, ""},
		"rejected":  {[]v1alpha1.RuleStatus{warned}, []v1alpha1.RuleStatus{rule("a", v1alpha1.RuleRejected, "bad")}, ""},
	} {
		events := Transitions(v1alpha1.MetricsPipelineStatus{Rules: tc.before}, v1alpha1.MetricsPipelineStatus{Rules: tc.after})
		switch {
		case tc.want == "" && len(events) > 0:
			t.Errorf("%s: %+v", name, events)
		case tc.want != "" && (len(events) != 1 || events[0].Reason != "RulesWarned" || !strings.Contains(events[0].Note, tc.want)):
			t.Errorf("%s: %+v", name, events)
		}
	}
}
