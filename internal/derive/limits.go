// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package derive

import (
	"cmp"
	"maps"
	"slices"

	"github.com/metricspipeline/operator/api/v1alpha1"
)

// Limits of what tenants can cause.
const (
	// MostOfNamespace is how many rules the HPAs of one namespace can lead to.
	MostOfNamespace = 20
	// Most is how many there are in all. Each is a selector that the backend lists the series of at each relist.
	Most = 500
	// mostQuestioned is about how many metrics of one namespace Prometheus is queried, and mostInAll of all.
	mostQuestioned, mostInAll = 40, 2000
)

// admitted returns the requests that are looked at, in the order in which they count: those of rules in force come first. One namespace
// has a limit, and all have one that they share.
func admitted(all []*request, current map[Key]Rule) []*request {
	slices.SortStableFunc(all, func(a, b *request) int { return compare(a, b, current) })
	byNamespace := map[string][]*request{}
	for _, r := range all {
		namespace := r.verdict.Namespace
		if len(byNamespace[namespace]) == mostQuestioned {
			r.verdict.Problem = ofOthers(v1alpha1.AutoscalerDeriveLimit,
				"The HorizontalPodAutoscalers of namespace %s ask for more metrics than the %d for which "+
					"rules are looked for; state rules for them in %s.rules.", namespace, mostQuestioned, fieldOf(r.verdict.Ask))
			continue
		}
		byNamespace[namespace] = append(byNamespace[namespace], r)
	}
	var taken []*request
	for round := range mostQuestioned {
		for _, namespace := range slices.Sorted(maps.Keys(byNamespace)) {
			if of := byNamespace[namespace]; round >= len(of) {
				continue
			} else if rule, inForce := current[of[round].verdict.Key]; len(taken) < mostInAll || inForce && of[round].owns(rule) {
				taken = append(taken, of[round])
			} else {
				of[round].verdict.Problem = ofOthers(v1alpha1.AutoscalerDeriveLimit,
					"HorizontalPodAutoscalers ask for more metrics than the %d for which rules are "+
						"looked for; state rules for them in %s.rules.", mostInAll, fieldOf(of[round].verdict.Ask))
			}
		}
	}
	slices.SortStableFunc(taken, func(a, b *request) int { return compare(a, b, current) })
	return taken
}

// compare orders requests: who has a rule in force, and the names.
func compare(a, b *request, current map[Key]Rule) int {
	rank := func(r *request) int {
		rule, inForce := current[r.verdict.Key]
		switch {
		case inForce && r.owns(rule):
			return 0
		case inForce:
			return 1
		}
		return 2
	}
	return cmp.Or(cmp.Compare(rank(a), rank(b)), cmp.Compare(a.verdict.Namespace, b.verdict.Namespace),
		cmp.Compare(a.verdict.HPA, b.verdict.HPA), a.verdict.Key.compare(b.verdict.Key))
}

// exceeding notes for requests with one candidate that its rule would be too many.
func exceeding(of []*request, because *Problem) {
	for _, r := range of {
		if r.judgment.only() {
			r.verdict.Problem = because
		}
	}
}

// evenly orders rules so that each namespace has its next one in turn.
func evenly(fresh []Rule, had map[string]int) []Rule {
	place := map[Key]int{}
	next := maps.Clone(had)
	for _, rule := range fresh {
		place[rule.Key] = next[rule.Namespace]
		next[rule.Namespace]++
	}
	slices.SortStableFunc(fresh, func(a, b Rule) int { return cmp.Compare(place[a.Key], place[b.Key]) })
	return fresh
}
