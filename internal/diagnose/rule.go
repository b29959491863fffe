// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package diagnose

import (
	"fmt"
	"slices"
	"strings"

	"github.com/metricspipeline/operator/api/v1alpha1"
)

// ruleStep is what makes the metric of series.
var ruleStep = step{
	name:    LinkRule,
	needed:  view.pipelines,
	unseen:  unknownRule,
	faults:  []check{ruleRejected, ruleOfOthers, ruleLastGood, ruleWarned, ruleCollision, rulePreset, notDerived},
	starved: ruleMissing,
	seen: func(v view) string {
		if !v.served() {
			return ""
		}
		rule := v.metric.Rules[0]
		return fmt.Sprintf("The %s is made by rule %s (%s, %s).", v.measured(), name(rule.ID), name(rule.Origin), name(rule.State))
	},
	queries: func(v view) []string {
		if !v.served() || v.metric.Rules[0].Query == "" {
			return nil
		}
		return []string{v.metric.Rules[0].Query}
	},
}

// unknownRule is why it is not known whether a rule makes the metric, or can be derived.
func unknownRule(v view) string {
	why := v.Unseen[LinkSeries]
	if v.metric.RuleProblem != "" || len(v.metric.Rules) > 0 || why == "" || v.metric.Series.Unreachable != "" ||
		v.metric.DeriveDisabled || len(v.metric.Presets) > 0 || v.metric.CandidatesReason != "" || len(v.metric.Candidates) > 0 {
		return v.metric.RuleProblem
	}
	return "No rule is known to make the metric, and series to derive one from were not looked for: " + why
}

// served is true where a rule makes the metric.
func (v view) served() bool {
	return len(v.metric.Rules) > 0 && v.metric.Rules[0].State != string(v1alpha1.RuleRejected) && v.metric.Rules[0].Problem == ""
}

// ruleIn returns the rule that serves, where it is in a state.
func (v view) ruleIn(state v1alpha1.RuleState) (Rule, bool) {
	if len(v.metric.Rules) == 0 || v.metric.Rules[0].State != string(state) {
		return Rule{}, false
	}
	return v.metric.Rules[0], true
}

func (v view) correctRule(rule Rule) string {
	return fmt.Sprintf("An administrator corrects rule %s of %s.rules in MetricsPipeline default.", name(rule.ID), v.field())
}

func ruleRejected(v view) *Finding {
	rule, ok := v.ruleIn(v1alpha1.RuleRejected)
	if !ok {
		return nil
	}
	return byAdministrator(found(v1alpha1.AutoscalerRuleRejected,
		join(fmt.Sprintf("Rule %s, which is to make the %s, is rejected.", name(rule.ID), v.measured()), sentence(rule.Message)),
		v.correctRule(rule)))
}

// ruleOfOthers is a rule of the right name that makes the metric of services, say, where the HPA asks for it of pods.
func ruleOfOthers(v view) *Finding {
	if len(v.metric.Rules) == 0 || v.metric.Rules[0].Problem == "" {
		return nil
	}
	rule := v.metric.Rules[0]
	return byAdministrator(found(v1alpha1.AutoscalerRuleOfOthers,
		join(fmt.Sprintf("Rule %s makes a %s, and not of %s.", name(rule.ID), v.measured(), v.subject()), sentence(rule.Problem)),
		fmt.Sprintf("An administrator names in resources of rule %s the label that has %s.", name(rule.ID), v.subject())))
}

func ruleLastGood(v view) *Finding {
	rule, ok := v.ruleIn(v1alpha1.RuleLastGood)
	if !ok {
		return nil
	}
	return byAdministrator(found(v1alpha1.AutoscalerRuleLastGood,
		join(fmt.Sprintf("Rule %s, which makes the %s, is rejected as it is, and serves in an earlier form.", name(rule.ID), v.measured()),
			sentence(rule.Message)), v.correctRule(rule)))
}

func ruleWarned(v view) *Finding {
	rule, ok := v.ruleIn(v1alpha1.RuleWarned)
	if !ok {
		return nil
	}
	return byAdministrator(found(v1alpha1.AutoscalerRuleWarned,
		join(fmt.Sprintf("Rule %s, which makes the %s, cannot work as it is written.", name(rule.ID), v.measured()),
			sentence(rule.Message)),
		v.correctRule(rule)))
}

// rulePreset is that nobody has stated the rule for what an ingress controller counts. None is derived, so nothing behind is to blame.
func rulePreset(v view) *Finding {
	if len(v.metric.Rules) > 0 || len(v.metric.Presets) == 0 || v.metric.Series.Unreachable != "" {
		return nil
	}
	return found(v1alpha1.AutoscalerRuleMissing,
		fmt.Sprintf("No rule makes the %s of %s, and none is derived from the series of an ingress controller, since any app could set "+
			"their labels.", v.measured(), v.subject()),
		fmt.Sprintf("An administrator adds to %s.rules of MetricsPipeline default what kubectl metricspipeline rules preset %s prints.",
			v.field(), strings.Join(v.metric.Presets, " or ")))
}

// ruleCollision breaks the metric where the rule that serves has nothing for this HPA.
func ruleCollision(v view) *Finding {
	if v.has() {
		return nil
	}
	return collision(v)
}

func collision(v view) *Finding {
	if !v.served() {
		return nil
	}
	serves := name(v.metric.Rules[0].ID)
	var others []string
	for _, rule := range v.metric.Rules[1:] {
		usable := rule.Problem == "" && rule.State != string(v1alpha1.RuleRejected)
		if usable && rule.ID != v.metric.Rules[0].ID && !slices.Contains(others, rule.ID) {
			others = append(others, rule.ID)
		}
	}
	if len(others) == 0 {
		return nil
	}
	return byAdministrator(found(v1alpha1.AutoscalerRuleCollision,
		fmt.Sprintf("Rule %s and rule %s make a %s, and rule %s alone serves it.", serves, names(others), v.measured(), serves),
		"An administrator gives each of these rules a name of its own in MetricsPipeline default: name.as."))
}
