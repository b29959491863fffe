// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package report

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/metricspipeline/operator/api/v1alpha1"
	"github.com/metricspipeline/operator/internal/metricsapi"
	"github.com/metricspipeline/operator/internal/operand"
	"github.com/metricspipeline/operator/internal/text"
)

// mostRules bounds status.rules.
const mostRules = 20

// ruleStatuses returns what most needs attention first, and counts all of them. Derived rules, which tenants cause, have the places that
// are left, those of each namespace in turn.
func ruleStatuses(rules, derived []v1alpha1.RuleStatus) ([]v1alpha1.RuleStatus, v1alpha1.RuleTotals) {
	var totals v1alpha1.RuleTotals
	for _, rule := range rules {
		switch rule.State {
		case v1alpha1.RuleRejected:
			totals.Rejected++
		case v1alpha1.RuleLastGood:
			totals.LastGood++
		case v1alpha1.RuleWarned:
			totals.Warned++
		case v1alpha1.RuleInUse:
			totals.InUse++
		}
	}
	sorted := slices.Clone(rules)
	slices.SortStableFunc(sorted, func(a, b v1alpha1.RuleStatus) int { return cmp.Compare(urgency(a), urgency(b)) })
	sorted = sorted[:min(len(sorted), mostRules)]
	totals.Derived = int32(min(len(derived), 1<<30)) //nolint:gosec // it is bounded
	byNamespace := map[string][]v1alpha1.RuleStatus{}
	for _, rule := range derived {
		namespace, _, _ := strings.Cut(rule.Autoscaler, "/")
		byNamespace[namespace] = append(byNamespace[namespace], rule)
	}
	var lists [][]v1alpha1.RuleStatus
	for _, namespace := range slices.Sorted(maps.Keys(byNamespace)) {
		lists = append(lists, byNamespace[namespace])
	}
	return append(sorted, text.Share(lists, mostRules-len(sorted), func(a, b v1alpha1.RuleStatus) int {
		return cmp.Or(cmp.Compare(a.API, b.API), cmp.Compare(a.ID, b.ID))
	})...), totals
}

// derived are the states of derived rules. What is not known yet of one, as after a start, is as the status before has it.
func (o Observation) derived() []v1alpha1.RuleStatus {
	rules := slices.Clone(o.Plan.Derived)
	for i, rule := range rules {
		before := slices.IndexFunc(o.previous.Rules, func(r v1alpha1.RuleStatus) bool { return r.API == rule.API && r.ID == rule.ID })
		if before >= 0 && slices.Contains(o.Plan.Uncounted, operand.RuleName{API: rule.API, ID: rule.ID}) {
			rules[i] = o.previous.Rules[before]
		}
	}
	return rules
}

// urgency is less for what needs attention more.
func urgency(rule v1alpha1.RuleStatus) int {
	states := []v1alpha1.RuleState{v1alpha1.RuleRejected, v1alpha1.RuleLastGood, v1alpha1.RuleWarned, v1alpha1.RuleInUse}
	if rule.State == v1alpha1.RuleInUse && rule.Message == "" {
		return len(states)
	}
	return slices.Index(states, rule.State)
}

// rules are the states of the spec's rules. What is not known yet of a rule's series is as the status before has it, if that is about
// the same spec: a restart changes nothing. A number of series that is still about the same stays too.
func (o Observation) rules() []v1alpha1.RuleStatus {
	rules := slices.Clone(o.Plan.Rules)
	if o.previous.ObservedGeneration != o.Generation {
		return rules
	}
	for i, rule := range rules {
		index := slices.IndexFunc(o.previous.Rules, func(r v1alpha1.RuleStatus) bool { return r.API == rule.API && r.ID == rule.ID })
		if index < 0 || !inUse(rule) || !inUse(o.previous.Rules[index]) {
			continue
		}
		before := o.previous.Rules[index]
		uncounted := slices.Contains(o.Plan.Uncounted, operand.RuleName{API: rule.API, ID: rule.ID})
		if uncounted && (rule.State == before.State || rule.State == v1alpha1.RuleInUse) {
			rules[i] = before
		} else if rule.Series != nil && before.Series != nil && alike(*rule.Series, *before.Series) {
			rules[i].Series = before.Series
		}
	}
	return rules
}

// inUse is true for a rule that is in use as it is in the spec.
func inUse(rule v1alpha1.RuleStatus) bool {
	return rule.State == v1alpha1.RuleInUse || rule.State == v1alpha1.RuleWarned
}

// alike is true for numbers of which neither is more than twice the other: series come and go with pods, and each change of the status
// is a write.
func alike(one, other int64) bool {
	return one <= 2*other && other <= 2*one
}

// warned is what the condition says of rules that cannot work; empty where there is none.
func warned(rules []v1alpha1.RuleStatus, totals v1alpha1.RuleTotals) string {
	for _, rule := range rules {
		if rule.State == v1alpha1.RuleWarned {
			return fmt.Sprintf(" %d of them cannot work as written, see status.rules; the first: rule %s of %s: %s.", totals.Warned,
				rule.ID, metricsapi.Field(rule.API), strings.TrimSuffix(rule.Message, "."))
		}
	}
	return ""
}

// ruleEvent is the event about rules that are found not to work, or for another reason than before; false where there is none. One
// event names them all: a spec may have hundreds.
func ruleEvent(before, after v1alpha1.MetricsPipelineStatus) (Event, bool) {
	var found []v1alpha1.RuleStatus
	for _, rule := range after.Rules {
		known := slices.ContainsFunc(before.Rules, func(r v1alpha1.RuleStatus) bool {
			return r.API == rule.API && r.ID == rule.ID && r.State == rule.State && r.Message == rule.Message
		})
		if rule.State == v1alpha1.RuleWarned && !known {
			found = append(found, rule)
		}
	}
	if len(found) == 0 {
		return Event{}, false
	}
	first := found[0]
	note := fmt.Sprintf("Rule %s of %s cannot work as written: %s.", first.ID, metricsapi.Field(first.API), first.Message)
	if len(found) > 1 {
		note = fmt.Sprintf("Found %d rules that cannot work as written, see status.rules; the first: %s", len(found), note)
	}
	return event(corev1.EventTypeWarning, "RulesWarned", "Warn", "%s", note), true
}
