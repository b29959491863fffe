// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package prometheusadapter

import (
	"maps"
	"slices"
	"time"

	"k8s.io/utils/clock"

	"github.com/metricspipeline/operator/api/v1alpha1"
	"github.com/metricspipeline/operator/internal/derive"
	"github.com/metricspipeline/operator/internal/metricsapi"
	"github.com/metricspipeline/operator/internal/operand"
	"github.com/metricspipeline/operator/internal/operand/prometheusadapter/rules"
	"github.com/metricspipeline/operator/internal/prometheus"
)

const (
	// lingering is how long a derived rule stays after the last HorizontalPodAutoscaler that asked for it.
	lingering = 10 * time.Minute
	// rolloutPace is the least time between two changes of derived rules, since each replaces the adapter's pods.
	rolloutPace = 2 * time.Minute
	// gathering is how long a change waits for the answers about what else is asked for.
	gathering = 20 * time.Second
	// shownPace is the least time between two changes of what is said of rules that stay.
	shownPace = time.Minute
)

// deriver remembers the rules that are derived from one plan to the next. It is for one goroutine.
type deriver struct {
	clock clock.PassiveClock

	// rules are in force. Until the first change they are those that are stored.
	rules   []derive.Rule
	changed bool
	// last is the last decision that changes nothing.
	last decided
	// idle is since when nobody asks for a rule.
	idle map[derive.Key]time.Time
	// at is when the rules changed last, since when the next change waits for answers, and shown when what is said of them changed.
	at, since, shown time.Time
}

// derived is what a plan has of derived rules.
type derived struct {
	derive.State
	names        []prometheus.Selector
	requeueAfter time.Duration
	// awaited is true while an answer is missing.
	awaited bool
}

// derive returns the rules that are in force from now on, of which some may be stored. As long as it is not known what is asked for, or
// what Prometheus has, those that are in force stay.
func (d *deriver) derive(in operand.Input, stated checked, stored []derive.Rule) derived {
	now := d.clock.Now()
	if !d.changed {
		d.rules = stored
	}
	d.rules = slices.DeleteFunc(slices.Clone(d.rules), func(rule derive.Rule) bool { return !derives(in, rule.API) })
	result := derived{State: derive.State{Window: derive.Window(in.Facts.ScrapeInterval(in.Spec.Scrape))}}
	if source := in.Facts.Prometheus; !in.Facts.AskedKnown || !source.Usable() || !source.Answer.Yes() {
		d.idle = nil // The time in which it was not known whether they are asked for is none without an asker.
		result.Rules = d.rules
		return result
	}
	decision := d.decide(in, stated, result.Window)
	var wanted []derive.Rule
	wanted, result.requeueAfter = d.lasting(decision.Rules, now)
	result.requeueAfter = operand.Sooner(result.requeueAfter, d.settle(wanted, decision.Awaited, now))
	decision.Verdicts = d.waiting(decision.Verdicts)
	result.Rules, result.Verdicts, result.Known, result.awaited = d.rules, decision.Verdicts, true, decision.Awaited
	for _, selector := range decision.Selectors {
		result.names = append(result.names, prometheus.Selector{Text: selector.Text, Settled: selector.Settled})
	}
	return result
}

// decided is a decision with all that it depends on.
type decided struct {
	asked    []derive.Ask
	names    map[string]prometheus.Names
	stated   uint64
	current  []derive.Rule
	decision derive.Decision
}

// decide returns which rules follow. With a thousand HPAs that takes milliseconds, and nearly always nothing has changed since the last
// plan. A decision with a rule that is not in force is not remembered: whether the adapter runs that one depends on what the cluster
// serves.
func (d *deriver) decide(in operand.Input, stated checked, window time.Duration) derive.Decision {
	asked := slices.DeleteFunc(derive.Asks(in.Facts.Asked), func(ask derive.Ask) bool {
		key, _ := derive.KeyOf(ask)
		return !derives(in, key.API)
	})
	names := in.Facts.Prometheus.Names
	if last := &d.last; last.stated == stated.number && slices.Equal(last.asked, asked) && slices.Equal(last.current, d.rules) &&
		maps.EqualFunc(last.names, names, maps.Equal[prometheus.Names, prometheus.Names]) {
		return last.decision
	}
	decision := derive.Decide(derive.Input{Asked: asked, Served: stated.makes, Answers: answers(names), Current: d.rules})
	if d.last = (decided{}); !slices.ContainsFunc(decision.Rules, func(rule derive.Rule) bool { return !contains(d.rules, rule) }) {
		d.last = decided{asked, names, stated.number, d.rules, decision}
	}
	d.refuse(in, &decision, window)
	return decision
}

// waiting returns verdicts with what of them is not in force yet. Those of before may be in use elsewhere.
func (d *deriver) waiting(verdicts []derive.Verdict) []derive.Verdict {
	inForce := map[derive.Key]bool{}
	for _, rule := range d.rules {
		inForce[rule.Key] = true
	}
	waits := func(v derive.Verdict) bool { return v.Derived && !inForce[v.Key] }
	if !slices.ContainsFunc(verdicts, waits) {
		return verdicts
	}
	verdicts = slices.Clone(verdicts)
	for i := range verdicts {
		verdicts[i].Waiting = waits(verdicts[i])
	}
	return verdicts
}

// derives is true where rules are derived for a metrics API.
func derives(in operand.Input, group string) bool {
	api := metricsapi.CustomV1Beta1
	if group == metricsapi.External.Group {
		api = metricsapi.External
	}
	return metricsapi.Derives(in.Spec, group) && !in.Omitted.Withheld(api)
}

// makes is true where a rule that serves makes a metric. Of one whose names are not known it may not be seen; such a rule stands behind
// the derived ones, and of two that make one metric the adapter serves the later.
func (c checked) makes(key derive.Key, series []string) bool {
	for i, findings := range c.known {
		if c.usable[i].API == key.API && findings.Makes(key.Metric, key.Resource, series) {
			return true
		}
	}
	return false
}

func answers(names map[string]prometheus.Names) derive.Answers {
	return func(selector string) (derive.Answer, bool) {
		found, known := names[selector]
		answer := derive.Answer{}
		for name, count := range found {
			answer[name] = derive.Count(count)
		}
		return answer, known
	}
}

// refuse takes out new rules that the adapter would not run. There is none such in the grammar, but it would exit on one.
func (d *deriver) refuse(in operand.Input, decision *derive.Decision, window time.Duration) {
	decision.Rules = slices.DeleteFunc(decision.Rules, func(rule derive.Rule) bool {
		if contains(d.rules, rule) {
			return false
		}
		_, err := rules.Of(derive.Add(v1alpha1.MetricsPipelineSpec{}, []derive.Rule{rule}, window))[0].
			Check(in.Facts.Mapper, in.Spec.Prometheus.Dialect)
		if err != nil {
			decision.Refuse(rule.Key, err)
		}
		return err != nil
	})
}

// contains is true where a rule is among others, whoever asks for it.
func contains(all []derive.Rule, one derive.Rule) bool {
	return slices.ContainsFunc(all, func(rule derive.Rule) bool { return rule.Key == one.Key && rule.Candidate == one.Candidate })
}

// lasting returns the rules that are asked for, or were not long ago, and when the next of these ends.
func (d *deriver) lasting(all []derive.Rule, now time.Time) (wanted []derive.Rule, next time.Duration) {
	idle := map[derive.Key]time.Time{}
	for _, rule := range all {
		if rule.Asking > 0 {
			wanted = append(wanted, rule)
			continue
		}
		since, known := d.idle[rule.Key]
		if !known {
			since = now
		}
		idle[rule.Key] = since
		if left := lingering - now.Sub(since); left > 0 {
			wanted, next = append(wanted, rule), operand.Sooner(next, left)
		}
	}
	d.idle = idle
	return wanted, next
}

// settle puts rules in force, or changes what is said of those that are, unless that has to wait, and returns how long.
func (d *deriver) settle(wanted []derive.Rule, awaited bool, now time.Time) time.Duration {
	if slices.Equal(wanted, d.rules) {
		d.since = time.Time{}
		return 0
	}
	alike := len(wanted) == len(d.rules) && !slices.ContainsFunc(wanted, func(rule derive.Rule) bool { return !contains(d.rules, rule) })
	last, pace := &d.at, rolloutPace
	if alike {
		last, pace = &d.shown, shownPace
	}
	if d.since.IsZero() {
		d.since = now
	}
	wait := last.Add(pace).Sub(now)
	if awaited {
		wait = max(wait, d.since.Add(gathering).Sub(now))
	}
	if wait > 0 {
		return wait
	}
	*last = now
	d.rules, d.changed, d.shown, d.since = wanted, true, now, time.Time{}
	return 0
}

// counted adds the derived rules to numbers of stated ones, by API.
func (d derived) counted(stated map[string]counts) map[string]counts {
	all := maps.Clone(stated)
	for _, rule := range d.Rules {
		count := all[rule.API]
		count.stated, count.usable = count.stated+1, count.usable+1
		all[rule.API] = count
	}
	return all
}

// report adds to a proposal what is known of derived rules, and returns them.
func (d derived) report(to *operand.Proposal) derived {
	to.Names, to.Derivation = d.names, &d.State
	to.RequeueAfter = operand.Sooner(to.RequeueAfter, d.requeueAfter)
	for _, rule := range d.Rules {
		status := v1alpha1.RuleStatus{ID: rule.ID(), API: rule.API, State: v1alpha1.RuleInUse, Origin: v1alpha1.RuleDerived,
			Autoscaler: rule.Namespace + "/" + rule.Autoscaler, Autoscalers: int32(min(rule.Asking, 1<<30)), Query: rule.Query(d.Window)}
		if !d.Known || d.awaited && rule.Samples == 0 {
			to.Uncounted = append(to.Uncounted, operand.RuleName{API: status.API, ID: status.ID})
		} else {
			status.Series = &rule.Samples
		}
		if d.Known && rule.Asking == 0 {
			status.Message = "No HorizontalPodAutoscaler asks for the metric any more; the rule goes ten minutes after the last one did"
		}
		to.Derived = append(to.Derived, status)
	}
	return d
}
