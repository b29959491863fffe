// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package derive

import (
	"fmt"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/metricspipeline/operator/api/v1alpha1"
	"github.com/metricspipeline/operator/internal/metricsapi"
)

// told is what a decision says: each rule with who is named and how many ask, and the reasons of those that have none.
func told(d Decision) (rules, reasons []string) {
	for _, r := range d.Rules {
		rules = append(rules, fmt.Sprintf("%s of %s by %s/%s and %d", r.ID(), r.From, r.Namespace, r.Autoscaler, r.Asking))
	}
	for _, v := range d.Verdicts {
		if v.Problem != nil {
			reasons = append(reasons, v.Namespace+"/"+v.HPA+" "+v.Problem.Reason)
		}
	}
	return rules, reasons
}

// seriesOfWeb are series of pods of Deployment web in some namespaces.
func seriesOfWeb(name string, namespaces ...string) store {
	var all store
	for _, namespace := range namespaces {
		all = append(all, name+`{namespace="`+namespace+`",pod="web-6d4cf56db6-x2x4k"}`)
	}
	return all
}

// inForce is the rule that follows from a metric of web.
func inForce(t *testing.T, asked Ask, series store) Rule {
	t.Helper()
	d := Decide(Input{Asked: []Ask{asked}, Served: unstated, Answers: series.answers(t)})
	if len(d.Rules) != 1 {
		t.Fatalf("%d rules", len(d.Rules))
	}
	return d.Rules[0]
}

// TestDecide: whose series a name that several HPAs ask for is made from.
func TestDecide(t *testing.T) {
	const id, gauge, counter = "derived/queue_depth/pods", "queue_depth", "queue_depth_total"
	ours, theirs, third := by(ofPods(gauge), "shop", "web"), by(ofPods(gauge), "town", "web"), by(ofPods(gauge), "third", "web")
	asked := func(all ...Ask) []Ask { return all }
	ofGauge := inForce(t, ours, seriesOfWeb(gauge, "shop"))
	for name, tc := range map[string]struct {
		asked          []Ask
		series         store
		unanswered     bool
		served         bool
		current        []Rule
		rules, reasons []string
	}{
		"nobody asks": {},
		"two share a rule": {asked: asked(theirs, ours), series: seriesOfWeb(gauge, "shop", "town"),
			rules: []string{id + " of queue_depth by shop/web and 2"}},
		"the first one has no samples": {asked: asked(theirs, ours), series: seriesOfWeb(gauge, "town"),
			rules: []string{id + " of queue_depth by town/web and 2"}},
		"the first one decides": {asked: asked(theirs, ours), series: slices.Concat(seriesOfWeb(counter, "town"), seriesOfWeb(gauge, "shop")),
			rules: []string{id + " of queue_depth by shop/web and 2"}, reasons: []string{"town/web DeriveRefused"}},
		"a rule in force stays": {asked: asked(theirs, third), series: slices.Concat(seriesOfWeb(counter, "town"), seriesOfWeb(gauge, "third")), current: []Rule{ofGauge},
			rules: []string{id + " of queue_depth by third/web and 2"}, reasons: []string{"town/web DeriveRefused"}},
		"a rule in force without answers": {asked: asked(ours), unanswered: true, current: []Rule{ofGauge}, rules: []string{id + " of queue_depth by shop/web and 1"}},
		"a rule in force without samples": {asked: asked(ours), current: []Rule{ofGauge}, rules: []string{id + " of queue_depth by shop/web and 1"}},
		"a rule in force of which nobody has samples, and other series": {asked: asked(ours), series: seriesOfWeb(counter, "shop"), current: []Rule{ofGauge},
			rules: []string{id + " of queue_depth_total by shop/web and 1"}},
		"a rule in force whose HPA has no samples, and another has other series": {asked: asked(ours, theirs), series: seriesOfWeb(counter, "town"), current: []Rule{ofGauge},
			rules: []string{id + " of queue_depth by shop/web and 2"}, reasons: []string{"town/web DeriveRefused"}},
		"a rule in force whose HPA is gone, and another has other series": {asked: asked(theirs), series: seriesOfWeb(counter, "town"), current: []Rule{ofGauge},
			rules: []string{id + " of queue_depth_total by town/web and 1"}},
		"a rule in force for which nobody asks": {current: []Rule{ofGauge}, rules: []string{id + " of queue_depth by shop/web and 0"}},
		"a stated rule serves it":               {asked: asked(ours), series: seriesOfWeb(gauge, "shop"), served: true},
		"a stated rule serves it now": {asked: asked(ours), series: seriesOfWeb(gauge, "shop"), served: true, current: []Rule{ofGauge},
			rules: []string{id + " of queue_depth by shop/web and 0"}},
		"nothing is known": {asked: asked(ours), unanswered: true},
		"nothing is there": {asked: asked(ours), reasons: []string{"shop/web RuleMissing"}},
		"one metric of pods and of a Service": {asked: asked(ours, ofObject(gauge, "v1", "Service", "web")),
			series: store{gauge + `{namespace="shop",service="web",pod="web-6d4cf56db6-x2x4k"}`},
			rules:  []string{id + " of queue_depth by shop/web and 1", "derived/queue_depth/services of queue_depth by shop/web and 1"}},
		"a Job": {asked: asked(ofObject(gauge, "batch/v1", "Job", "web")), reasons: []string{"shop/web DeriveJob"}},
	} {
		t.Run(name, func(t *testing.T) {
			in := Input{Asked: tc.asked, Served: func(Key, []string) bool { return tc.served }, Answers: tc.series.answers(t), Current: tc.current}
			if tc.unanswered {
				in.Answers = unanswered
			}
			d := Decide(in)
			rules, reasons := told(d)
			if diff := cmp.Diff(tc.rules, rules); diff != "" {
				t.Errorf("rules (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(tc.reasons, reasons); diff != "" {
				t.Errorf("reasons (-want +got):\n%s", diff)
			}
			if d.Awaited != tc.unanswered {
				t.Errorf("awaited: %t", d.Awaited)
			}
			slices.Reverse(in.Asked)
			if again, _ := told(Decide(in)); !slices.Equal(again, rules) {
				t.Errorf("in another order: %q", again)
			}
		})
	}
}

// TestRuleStaysWithoutOneAnswer: as long as it is not known of one HPA whether it has samples of a rule's series, the rule stays.
func TestRuleStaysWithoutOneAnswer(t *testing.T) {
	ours, theirs := by(ofPods("queue_depth"), "shop", "web"), by(ofPods("queue_depth"), "town", "web")
	rule := inForce(t, ours, seriesOfWeb("queue_depth", "shop"))
	all := seriesOfWeb("queue_depth_total", "shop").answers(t)
	unknown, _ := Questions(theirs)
	d := Decide(Input{Asked: []Ask{ours, theirs}, Served: unstated, Current: []Rule{rule}, Answers: func(selector string) (Answer, bool) {
		if selector == unknown[0].Selector {
			return nil, false
		}
		return all(selector)
	}})
	if !d.Awaited || d.Rules[0].Candidate != rule.Candidate {
		t.Errorf("%+v", d.Rules)
	}
}

// TestRulesInForceAreLookedAt however many other metrics are asked for.
func TestRulesInForceAreLookedAt(t *testing.T) {
	asked, series := many("zoo", 0, MostOfNamespace)
	current := Decide(Input{Asked: asked, Served: unstated, Answers: series.answers(t)}).Rules
	for i := range mostInAll / 2 {
		of, _ := many(fmt.Sprintf("ns%04d", i), 0, 3)
		for _, ask := range of {
			ask.Name = fmt.Sprintf("other_%s_%s", ask.Name, ask.Namespace)
			asked = append(asked, ask)
		}
	}
	d := Decide(Input{Asked: asked, Served: unstated, Answers: unanswered, Current: current})
	for _, rule := range d.Rules {
		if rule.Asking != 1 {
			t.Errorf("%s is not looked at", rule.ID())
		}
	}
	if len(d.Rules) != MostOfNamespace || len(d.Selectors) > 2*(mostInAll+Most) {
		t.Errorf("%d rules, %d questions", len(d.Rules), len(d.Selectors))
	}
}

// many are HPAs of a namespace that ask for as many metrics, from a number on.
func many(namespace string, from, count int) ([]Ask, store) {
	var all []Ask
	var series store
	for i := range count {
		metric := fmt.Sprintf("metric%03d", from+i)
		all = append(all, by(ofPods(metric), namespace, fmt.Sprintf("hpa%03d", i)))
		series = append(series, seriesOfWeb(metric, namespace)...)
	}
	return all, series
}

// TestLimits: one namespace cannot take the places of another.
func TestLimits(t *testing.T) {
	var asked []Ask
	var series store
	for i := range 30 { // 600 rules would follow.
		of, its := many(fmt.Sprintf("ns%02d", i), 30*i, 25)
		asked, series = append(asked, of...), append(series, its...)
	}
	last, its := many("last", 990, 1)
	asked, series = append(asked, last...), append(series, its...)
	d := Decide(Input{Asked: asked, Served: unstated, Answers: series.answers(t)})
	perNamespace, reasons := map[string]int{}, map[string]int{}
	for _, rule := range d.Rules {
		perNamespace[rule.Namespace]++
	}
	for _, v := range d.Verdicts {
		if v.Problem != nil {
			reasons[v.Problem.Reason]++
		} else if !v.Derived {
			t.Errorf("nothing is said of %s/%s", v.Namespace, v.Name)
		}
	}
	if len(d.Rules) != Most || perNamespace["last"] != 1 {
		t.Errorf("%d rules, %d of the last namespace", len(d.Rules), perNamespace["last"])
	}
	for namespace, n := range perNamespace {
		if n > MostOfNamespace || namespace != "last" && n < 16 {
			t.Errorf("%d rules of %s", n, namespace)
		}
	}
	if len(reasons) != 1 || reasons[v1alpha1.AutoscalerDeriveLimit] != 751-Most {
		t.Errorf("reasons: %v", reasons)
	}

	// Those in force keep their places.
	current := d.Rules
	slices.Reverse(asked)
	if diff := cmp.Diff(current, Decide(Input{Asked: asked, Served: unstated, Answers: series.answers(t), Current: current}).Rules); diff != "" {
		t.Errorf("rules in force (-before +after):\n%s", diff)
	}
}

// TestLimitOfOneNamespace: what exceeds it is diagnosed, and of that which could not even be looked at no question is sent.
func TestLimitOfOneNamespace(t *testing.T) {
	asked, series := many("shop", 0, 50)
	d := Decide(Input{Asked: asked, Served: unstated, Answers: series.answers(t)})
	_, reasons := told(d)
	if len(d.Rules) != MostOfNamespace || len(reasons) != 50-MostOfNamespace || len(d.Selectors) != 2*mostQuestioned {
		t.Errorf("%d rules, %d refused, %d questions", len(d.Rules), len(reasons), len(d.Selectors))
	}
	exceeding := 0
	for _, ask := range asked {
		if p := (State{Verdicts: d.Verdicts}).Exceeds(ask); p != nil {
			exceeding++
		}
	}
	if exceeding != len(reasons) || (State{}).Exceeds(asked[0]) != nil {
		t.Errorf("%d of %d exceed a limit", exceeding, len(reasons))
	}
	for _, reason := range reasons {
		if reason[len("shop/hpa000 "):] != v1alpha1.AutoscalerDeriveLimit {
			t.Error(reason)
		}
	}
}

// TestIDs: no rule of a spec can have the id of a derived one.
func TestIDs(t *testing.T) {
	for key, want := range map[Key]string{
		{API: metricsapi.External.Group, Metric: "a_b"}:                        "derived/a_b",
		{API: metricsapi.CustomV1Beta1.Group, Metric: "a:b", Resource: "pods"}: "derived/a:b/pods",
	} {
		if got := key.ID(); got != want {
			t.Errorf("%+v: %s", key, got)
		}
	}
}

// TestStored: a rule that was stored in another form is not put back.
func TestStored(t *testing.T) {
	valid := inForce(t, ofPods("queue_depth"), seriesOfWeb("queue_depth", "shop"))
	for name, change := range map[string]func(*Rule){
		"metric":    func(r *Rule) { r.Metric = "$1" },
		"series":    func(r *Rule) { r.From = "x} or vector(1)" },
		"labels":    func(r *Rule) { r.Labels.Namespace = "exported_namespace" },
		"no labels": func(r *Rule) { r.Labels = Labels{} },
		"resource":  func(r *Rule) { r.Resource = "nodes" },
		"API":       func(r *Rule) { r.API = "metrics.k8s.io" },
	} {
		changed := valid
		change(&changed)
		if !valid.Valid() || changed.Valid() {
			t.Errorf("another %s is valid", name)
		}
	}
}
