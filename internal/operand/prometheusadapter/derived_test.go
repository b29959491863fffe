// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package prometheusadapter

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	autoscalingv2 "k8s.io/api/autoscaling/v2"

	"github.com/metricspipeline/operator/api/v1alpha1"
	"github.com/metricspipeline/operator/internal/metricsapi"
	"github.com/metricspipeline/operator/internal/operand"
	"github.com/metricspipeline/operator/internal/operand/operandtest"
	"github.com/metricspipeline/operator/internal/probe"
	"github.com/metricspipeline/operator/internal/prometheus"
)

// TestDerive: with an empty spec the adapter runs for what an HPA asks for, and not before there is a rule for it.
func TestDerive(t *testing.T) {
	d := newDeriving(t)
	if d.plan(0); d.last.Component != nil || len(d.last.Names) > 0 {
		t.Errorf("nobody asks: %+v", d.last)
	}
	d.asks("http_requests_per_second")
	if d.plan(0); d.last.Component != nil || len(d.last.Names) == 0 {
		t.Errorf("no series: %+v", d.last)
	}
	if why := d.last.Omitted["v1beta1.custom.metrics.k8s.io"]; why.Reason != v1alpha1.ReasonNoRules || !strings.Contains(why.Message, "no rule follows") {
		t.Errorf("the API is omitted since %+v", why)
	}
	if v := d.last.Derivation.Verdicts[0]; v.Problem == nil || v.Problem.Reason != v1alpha1.AutoscalerRuleMissing {
		t.Errorf("verdict %+v", v)
	}
	d.series = []string{"http_requests_total"}
	d.plan(time.Minute)
	d.has(perSecond)
	want := []string{"v1beta1.custom.metrics.k8s.io", "v1beta2.custom.metrics.k8s.io"}
	if diff := cmp.Diff(want, apis(d.last.Component)); diff != "" {
		t.Errorf("APIs (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{`http_requests_total{namespace!="",pod!=""}`}, configured(t, d.last.Component)); diff != "" {
		t.Errorf("rules (-want +got):\n%s", diff)
	}
	series := int64(2)
	status := []v1alpha1.RuleStatus{{ID: perSecond, API: "custom.metrics.k8s.io", State: v1alpha1.RuleInUse, Origin: v1alpha1.RuleDerived, Series: &series,
		Autoscaler: "shop/web", Autoscalers: 1, Query: "sum(rate(http_requests_total{<<.LabelMatchers>>}[2m])) by (<<.GroupBy>>)"}}
	if diff := cmp.Diff(status, d.last.Derived); diff != "" {
		t.Errorf("status (-want +got):\n%s", diff)
	}
	if v := d.last.Derivation.Verdicts[0]; !v.Derived || v.Waiting || v.Problem != nil {
		t.Errorf("verdict %+v", v)
	}
	for _, selector := range d.last.Names {
		if !selector.Settled {
			t.Errorf("%s is asked for again soon", selector.Text)
		}
	}
}

// TestDeriveIsSwitchedOff by the spec, by a policy, and where another serves the API: at once.
func TestDeriveIsSwitchedOff(t *testing.T) {
	for name, off := range map[string]func(*operand.Input){
		"derive": func(in *operand.Input) {
			in.Spec.CustomMetrics.Derive, in.Spec.ExternalMetrics.Derive = v1alpha1.DeriveDisabled, v1alpha1.DeriveDisabled
		},
		"policy": func(in *operand.Input) {
			in.Omitted = metricsapi.Withhold(in.Spec, map[string]bool{metricsapi.CustomV1Beta1.Group: true, metricsapi.External.Group: true})
		},
	} {
		d := newDeriving(t, "http_requests_total", "queue_depth")
		d.asks("http_requests_per_second", "!queue_depth")
		d.plan(0)
		d.has(perSecond, "derived/queue_depth")
		off(&d.in)
		if d.plan(0); d.last.Component != nil || len(d.last.Derived) > 0 || len(d.last.Names) > 0 {
			t.Errorf("%s: %+v", name, d.last)
		}
	}
	d := newDeriving(t, "http_requests_total", "queue_depth")
	d.asks("http_requests_per_second", "!queue_depth")
	d.in.Spec.CustomMetrics.Derive = v1alpha1.DeriveDisabled
	d.plan(0)
	d.has("derived/queue_depth")
}

// TestStatedRulesWin: by the name that they say, by names that they make from series, and by their place where that is not known.
func TestStatedRulesWin(t *testing.T) {
	stated := func(series, matches, as string) v1alpha1.CustomMetricRule {
		rule := operandtest.CustomRule("stated")
		rule.SeriesQuery, rule.Name = series, v1alpha1.MetricName{Matches: matches, As: as}
		rule.Resources = v1alpha1.ResourceMapping{Overrides: map[string]v1alpha1.GroupResource{"namespace": {Resource: "namespace"}, "pod": {Resource: "pod"}}}
		return rule
	}
	for name, tc := range map[string]struct {
		rule   v1alpha1.CustomMetricRule
		served bool
	}{
		"by name":         {stated("anything", "", "http_requests_per_second"), true},
		"by a pattern":    {stated(`{__name__=~"^http_.*_total$"}`, "^(.*)_total$", "${1}_per_second"), true},
		"of other series": {stated(`{__name__=~"^grpc_.*_total$"}`, "^(.*)_total$", "${1}_per_second"), false},
		"of other names":  {stated("http_requests_total", "", ""), false},
		"unseen":          {stated(`{__name__=~"^my_.*"}`, "^my_(.*)$", "${1}"), false},
	} {
		d := newDeriving(t, "http_requests_total")
		d.in.Spec.CustomMetrics.Rules = []v1alpha1.CustomMetricRule{tc.rule}
		d.asks("http_requests_per_second")
		d.plan(0)
		if v := d.last.Derivation.Verdicts[0]; v.Served != tc.served || v.Derived == tc.served {
			t.Errorf("%s: %+v", name, v)
		}
		if all := configured(t, d.last.Component); all[len(all)-1] != tc.rule.SeriesQuery {
			t.Errorf("%s: the last rule of %q is not the stated one", name, all)
		}
	}
}

// TestStatedRuleOfAnotherResource serves pods, and not Services.
func TestStatedRuleOfAnotherResource(t *testing.T) {
	d := newDeriving(t, "http_requests_total")
	rule := operandtest.CustomRule("stated")
	rule.Resources = v1alpha1.ResourceMapping{Overrides: map[string]v1alpha1.GroupResource{"namespace": {Resource: "namespace"}, "service": {Resource: "service"}}}
	rule.Name = v1alpha1.MetricName{As: "http_requests_per_second"}
	d.in.Spec.CustomMetrics.Rules = []v1alpha1.CustomMetricRule{rule}
	d.asks("http_requests_per_second")
	d.plan(0)
	d.has(perSecond)
}

// TestDerivedRuleLingers ten minutes after the last HPA that asked for it.
func TestDerivedRuleLingers(t *testing.T) {
	d := newDeriving(t, "http_requests_total")
	d.asks("http_requests_per_second")
	d.plan(0)
	d.asks()
	d.plan(time.Hour)
	d.has(perSecond)
	if d.last.RequeueAfter != lingering {
		t.Errorf("planned again after %s", d.last.RequeueAfter)
	}
	d.plan(lingering - time.Second)
	d.has(perSecond)
	if d.last.Derived[0].Message == "" || d.last.RequeueAfter != time.Second {
		t.Errorf("%+v, again after %s", d.last.Derived[0], d.last.RequeueAfter)
	}
	if d.plan(time.Second); d.last.Component != nil {
		t.Error("the adapter runs for nothing")
	}
	d.has()
}

// TestDerivedRulesStay while it is not known what HPAs ask for, or what Prometheus has, however long that takes.
func TestDerivedRulesStay(t *testing.T) {
	for name, change := range map[string]func(*operand.Input){
		"HPAs cannot be read": func(in *operand.Input) { in.Facts.AskedKnown = false },
		"Prometheus does not answer": func(in *operand.Input) {
			in.Facts.Prometheus.Answer = probe.Answer{Known: true, Err: errors.New("connection refused")}
		},
		"it is not known who is Prometheus": func(in *operand.Input) { in.Facts.Prometheus.CredentialsMissing = "there is no Secret" },
	} {
		d := newDeriving(t, "http_requests_total")
		d.asks("http_requests_per_second")
		d.plan(0)
		d.asks() // It lingers.
		d.plan(0)
		before := d.in.Facts
		change(&d.in)
		d.plan(time.Hour)
		d.has(perSecond)
		d.in.Facts = before
		d.plan(0)
		if d.plan(lingering / 2); len(d.last.Derived) != 1 {
			t.Errorf("%s: the time in which nothing was known counts", name)
		}
	}
}

// TestRestartChangesNothing: the rules that are stored are in force until it is known what is asked for, and as long as answers are missing.
func TestRestartChangesNothing(t *testing.T) {
	d := newDeriving(t, "http_requests_total")
	d.asks("http_requests_per_second")
	before := d.plan(0)
	d.restart()
	d.unanswered = true
	expect := func(when string) {
		t.Helper()
		if diff := cmp.Diff(before.Component.Files, d.last.Component.Files); diff != "" {
			t.Errorf("configuration %s (-before +after):\n%s", when, diff)
		}
		if want := []operand.RuleName{{API: "custom.metrics.k8s.io", ID: perSecond}}; !slices.Equal(d.last.Uncounted, want) {
			t.Errorf("%s what the status says is to stay for %v", when, d.last.Uncounted)
		}
		if diff := cmp.Diff(string(before.Memory), string(d.last.Memory)); diff != "" {
			t.Errorf("memory %s (-before +after):\n%s", when, diff)
		}
	}
	d.plan(0)
	expect("at first")
	d.in.Facts.AskedKnown = true
	d.asks("http_requests_per_second")
	d.plan(time.Second)
	expect("without answers")
	d.unanswered = false
	after := d.plan(time.Second)
	if diff := cmp.Diff(before.Derived, after.Derived); diff != "" {
		t.Errorf("status (-before +after):\n%s", diff)
	}
}

// TestStoredRulesAreChecked: what somebody has edited into the ConfigMap does not reach the adapter, and stated rules that an earlier
// version stored are as they were.
func TestStoredRulesAreChecked(t *testing.T) {
	d := newDeriving(t, "http_requests_total")
	d.asks("http_requests_per_second")
	d.plan(0)
	d.restart()
	memory := string(d.in.LastGood.Memory)
	d.in.LastGood.Memory = []byte(strings.ReplaceAll(memory, `"from":"http_requests_total"`, `"from":"x} or vector(1)"`))
	if string(d.in.LastGood.Memory) == memory {
		t.Fatal("nothing was edited")
	}
	d.plan(0)
	d.has()
	form := applied(t, input())
	stated, derived := recall(form)
	if len(stated) != 2 || len(derived) != 0 {
		t.Errorf("%d stated rules and %d derived ones are remembered", len(stated), len(derived))
	}
}

// TestRollouts: derived rules change at most once in two minutes, and the first change waits a moment for the other answers.
func TestRollouts(t *testing.T) {
	d := newDeriving(t, "http_requests_total", "queue_depth")
	d.asks("http_requests_per_second")
	d.plan(0)
	d.has(perSecond)
	d.asks("http_requests_per_second", "!queue_depth")
	d.plan(time.Second)
	d.has(perSecond)
	if v := d.last.Derivation.Verdicts[1]; !v.Derived || !v.Waiting {
		t.Errorf("verdict %+v", v)
	}
	if d.last.RequeueAfter != rolloutPace-time.Second {
		t.Errorf("planned again after %s", d.last.RequeueAfter)
	}
	d.plan(rolloutPace - 2*time.Second)
	d.has(perSecond)
	d.plan(time.Second)
	d.has(perSecond, "derived/queue_depth")
}

// TestChangesAreGathered: a change waits for questions that have no answer, but not for ever.
func TestChangesAreGathered(t *testing.T) {
	d := newDeriving(t, "http_requests_total")
	d.asks("http_requests_per_second")
	d.plan(0)
	d.asks("http_requests_per_second", "!queue_depth", "!bill_depth")
	d.series = []string{"http_requests_total", "queue_depth"}
	d.plan(time.Hour)
	d.restart() // Without rules in force: nothing is stored.
	d.in.LastGood, d.in.Facts.AskedKnown = nil, true
	d.asks("http_requests_per_second", "!queue_depth")
	d.unanswered = true
	d.plan(0)
	d.has()
	for _, selector := range d.last.Names {
		if strings.Contains(selector.Text, "http_requests") {
			if d.in.Facts.Prometheus.Names == nil {
				d.in.Facts.Prometheus.Names = map[string]prometheus.Names{}
			}
			d.in.Facts.Prometheus.Names[selector.Text] = prometheus.Names{}
			if !strings.Contains(selector.Text, "kubernetes_") {
				d.in.Facts.Prometheus.Names[selector.Text] = prometheus.Names{"http_requests_total": {Series: 1}}
			}
		}
	}
	d.plan(time.Second)
	d.has()
	d.plan(gathering)
	d.has(perSecond)
}

// TestWindowOfDerivedRules follows the interval of scrapes.
func TestWindowOfDerivedRules(t *testing.T) {
	d := newDeriving(t, "http_requests_total")
	d.in.Facts.Prometheus.Target.ScrapeInterval = time.Minute
	d.asks("http_requests_per_second")
	d.plan(0)
	if query := d.last.Derived[0].Query; !strings.Contains(query, "[4m]") {
		t.Errorf("query %s", query)
	}
}

// TestRefusedRule: a rule that the adapter would not run is not derived, and the HPA's verdict says why.
func TestRefusedRule(t *testing.T) {
	d := newDeriving(t, "queue_depth")
	d.asks("queue_depth")
	d.in.Facts.Asked[0].Type = autoscalingv2.ObjectMetricSourceType
	d.in.Facts.Asked[0].APIVersion, d.in.Facts.Asked[0].Kind, d.in.Facts.Asked[0].HPAs[0].Object = "apps/v1", "DaemonSet", "web"
	d.plan(0) // The mapper knows no DaemonSets.
	d.has()
	if v := d.last.Derivation.Verdicts[0]; v.Derived || v.Problem == nil || v.Problem.Reason != v1alpha1.AutoscalerDeriveRefused {
		t.Errorf("verdict %+v", v)
	}
}
