// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package derive

import (
	"maps"
	"slices"
	"time"

	"github.com/metricspipeline/operator/api/v1alpha1"
)

// Input is what decides which rules are derived.
type Input struct {
	// Asked are the metrics that HPAs ask for, of the APIs for which rules are derived.
	Asked []Ask
	// Served is true where a stated rule makes the metric from series of one of these names.
	Served func(key Key, series []string) bool
	// Answers of Prometheus, and the rules that are in force now.
	Answers Answers
	Current []Rule
}

// Selector is one that Prometheus is to answer, and whether the answer leads to a rule.
type Selector struct {
	Text    string
	Settled bool
}

// Verdict is what became of a metric of one HPA.
type Verdict struct {
	Ask

	Key Key
	// Served is true where a stated rule serves it, and Derived where a derived one does. Waiting is true while that is not in force yet.
	Served, Derived, Waiting bool
	// Problem is why no rule does; nil also while that is not known.
	Problem *Problem
	// Found are the candidates.
	Found []Found
}

// State is how it stands with derived rules.
type State struct {
	// Rules in force, and the window of their rates.
	Rules  []Rule
	Window time.Duration
	// Known is false while it is not known what HPAs ask for, or what Prometheus has; then there are no Verdicts.
	Known    bool
	Verdicts []Verdict
}

// Exceeds returns why no rule serves a metric of an HPA although exactly one follows from it: a limit, or a rule that another HPA's series
// have led to; nil for no such reason.
func (s State) Exceeds(ask Ask) *Problem {
	i := slices.IndexFunc(s.Verdicts, func(v Verdict) bool { return v.Ask == ask })
	if i < 0 {
		return nil
	}
	if p := s.Verdicts[i].Problem; p != nil && p.ofOthers {
		return p
	}
	return nil
}

// Decision is which rules follow.
type Decision struct {
	// Rules in the order of their keys; those that no HPA asks for any more have Asking 0.
	Rules []Rule
	// Selectors to be answered, and Awaited is true while one has not been.
	Selectors []Selector
	Awaited   bool
	// Verdicts in the order of Asked.
	Verdicts []Verdict
}

// request is a metric of one HPA under decision.
type request struct {
	verdict   *Verdict
	judgment  Judgment
	questions []Question
}

// Decide returns which rules follow from what HPAs ask for. A rule that is in force stays as long as one HPA has samples of its series,
// or it is not known. Of HPAs that need different series under one name the one that asked first decides, or the first by name.
func Decide(in Input) Decision {
	d := Decision{Verdicts: make([]Verdict, len(in.Asked))}
	current := map[Key]Rule{}
	for _, rule := range in.Current {
		current[rule.Key] = rule
	}
	var open []*request
	for i, asked := range in.Asked {
		v := &d.Verdicts[i]
		v.Ask = asked
		v.Key, _ = KeyOf(asked)
		questions, problem := Questions(asked)
		if v.Served = in.Served(v.Key, seriesOf(asked)); v.Served {
			continue
		}
		if v.Problem = problem; problem == nil {
			open = append(open, &request{verdict: v, questions: questions})
		}
	}
	open = admitted(open, current)
	byKey := map[Key][]*request{}
	for _, r := range open {
		r.judgment = Judge(r.verdict.Ask, in.Answers)
		r.verdict.Found = r.judgment.Found
		d.Awaited = d.Awaited || !r.judgment.Known
		byKey[r.verdict.Key] = append(byKey[r.verdict.Key], r)
	}
	d.Rules = rules(byKey, current, in)
	for _, r := range open {
		r.settle(d.Rules)
	}
	d.Selectors = selectors(open)
	return d
}

// seriesOf are the names that a metric may be made from, as far as they are known.
func seriesOf(asked Ask) []string {
	return grammarOf(asked.Name, asked.external()).names()
}

// rules returns those that follow, in the order of their keys, and notes which requests exceed a limit.
func rules(byKey map[Key][]*request, current map[Key]Rule, in Input) []Rule {
	var kept, fresh []Rule
	for _, rule := range in.Current {
		if of := byKey[rule.Key]; len(of) > 0 {
			kept = append(kept, renewed(rule, of))
		} else {
			rule.Asking = 0
			kept = append(kept, rule)
		}
	}
	for _, key := range slices.SortedFunc(maps.Keys(byKey), Key.compare) {
		if _, inForce := current[key]; inForce {
			continue
		}
		if rule, follows := first(key, byKey[key]); follows {
			fresh = append(fresh, rule)
		}
	}
	all := kept
	perNamespace := map[string]int{}
	for _, rule := range kept {
		perNamespace[rule.Namespace]++
	}
	for _, rule := range evenly(fresh, perNamespace) {
		switch {
		case perNamespace[rule.Namespace] >= MostOfNamespace:
			exceeding(byKey[rule.Key], ofOthers(v1alpha1.AutoscalerDeriveLimit,
				"%d rules are derived for the HorizontalPodAutoscalers of namespace %s, and there "+
					"are no more; state a rule in %s.rules.", MostOfNamespace, rule.Namespace, fieldOf(byKey[rule.Key][0].verdict.Ask)))
		case len(all) >= Most:
			exceeding(byKey[rule.Key], ofOthers(v1alpha1.AutoscalerDeriveLimit,
				"%d rules are derived, and there are no more; state a rule in %s.rules.",
				Most, fieldOf(byKey[rule.Key][0].verdict.Ask)))
		default:
			perNamespace[rule.Namespace]++
			all = append(all, rule)
		}
	}
	slices.SortFunc(all, func(a, b Rule) int { return a.compare(b.Key) })
	return all
}

// only is true where exactly one candidate has samples.
func (j Judgment) only() bool { return j.Known && j.Problem == nil && len(j.Found) == 1 }

// first returns the rule that the first HPA with one candidate leads to; false while none has.
func first(key Key, of []*request) (Rule, bool) {
	for _, r := range of {
		if r.judgment.only() {
			rule := Rule{Key: key, Candidate: r.judgment.Found[0].Candidate, Namespace: r.verdict.Namespace, Autoscaler: r.verdict.HPA,
				Asking: len(of), Samples: r.judgment.Found[0].Series}
			return rule, true
		}
	}
	return Rule{}, false
}

// renewed is a rule in force for those who ask for it now: as it is, unless it is known that none of them has samples of its series, and
// the one that it was derived for has samples of another, or asks no more and another one has.
func renewed(rule Rule, of []*request) Rule {
	rule.Asking = len(of)
	owner := slices.IndexFunc(of, func(r *request) bool { return r.owns(rule) })
	deciding := of
	if owner >= 0 {
		deciding = of[owner : owner+1]
	}
	named := deciding[0]
	if named.judgment.Known {
		rule.Samples = named.samples(rule.Candidate)
	}
	stays := slices.ContainsFunc(of, func(r *request) bool { return !r.judgment.Known || r.samples(rule.Candidate) > 0 })
	if other, follows := first(rule.Key, deciding); follows && !stays {
		other.Asking = len(of)
		return other
	}
	rule.Namespace, rule.Autoscaler = named.verdict.Namespace, named.verdict.HPA
	return rule
}

// owns is true for the request that a rule was derived for.
func (r *request) owns(rule Rule) bool {
	return r.verdict.Key == rule.Key && r.verdict.Namespace == rule.Namespace && r.verdict.HPA == rule.Autoscaler
}

// samples returns how many series of a candidate there are for a request.
func (r *request) samples(of Candidate) int64 {
	for _, found := range r.judgment.Found {
		if found.Candidate == of {
			return found.Series
		}
	}
	return 0
}

// Refuse notes that the rule for a metric is not one that the backend runs.
func (d *Decision) Refuse(key Key, because error) {
	for i, v := range d.Verdicts {
		if v.Key == key && v.Derived {
			d.Verdicts[i].Derived = false
			d.Verdicts[i].Problem = ofOthers(v1alpha1.AutoscalerDeriveRefused,
				"No rule is derived for the metric %s: %v.", v.Name, because)
		}
	}
}

// settle notes whether a rule serves a request.
func (r *request) settle(all []Rule) {
	v := r.verdict
	i, found := slices.BinarySearchFunc(all, v.Key, func(rule Rule, key Key) int { return rule.compare(key) })
	switch {
	case !found:
		if v.Problem == nil {
			v.Problem = r.judgment.Problem
		}
	case r.judgment.only() && r.judgment.Found[0].Candidate != all[i].Candidate:
		v.Problem = ofOthers(v1alpha1.AutoscalerDeriveRefused,
			"The metric %s is derived from other series already, for another HorizontalPodAutoscaler, and %s has "+
				"samples of %s alone; ask for the metric by another of its names, or state a rule in %s.rules.", v.Name, ownOf(v.Ask),
			r.judgment.Found[0].From, fieldOf(v.Ask))
	default:
		v.Derived, v.Problem = true, nil
	}
}

// selectors returns what Prometheus is to answer.
func selectors(open []*request) []Selector {
	var all []Selector
	for _, r := range open {
		for _, q := range r.questions {
			all = append(all, Selector{Text: q.Selector, Settled: r.judgment.only()})
		}
	}
	return all
}
