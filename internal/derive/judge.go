// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package derive

import (
	"cmp"
	"slices"

	autoscalingv2 "k8s.io/api/autoscaling/v2"

	"github.com/metricspipeline/operator/api/v1alpha1"
	"github.com/metricspipeline/operator/internal/text"
)

// Found is a candidate with samples for the pods or the object of one HPA, and how many.
type Found struct {
	Candidate
	Count
}

// Answers returns what Prometheus answered to a selector; false while it has not.
type Answers func(selector string) (Answer, bool)

// Judgment is what the answers say about a metric of one HPA.
type Judgment struct {
	// Known is false while an answer is awaited.
	Known bool
	// Found are the candidates that have samples.
	Found []Found
	// Problem is why no rule is derived; nil where Found has the only candidate, or where nothing is known yet.
	Problem *Problem
}

// Judge decides by what Prometheus has for the HPA's own pods or object which series its metric is made from.
func Judge(asked Ask, answers Answers) Judgment {
	questions, p := Questions(asked)
	if p != nil {
		return Judgment{Known: true, Problem: p}
	}
	g := grammarOf(asked.Name, asked.external())
	var found []Found
	part := ""
	for _, q := range questions {
		answer, known := answers(q.Selector)
		if !known {
			return Judgment{}
		}
		for name, count := range answer {
			if count.Series == 0 {
				continue
			}
			if slices.Contains(g.siblings, name) {
				part = name
			}
			if candidate, is := g.candidate(name, q.Labels); is {
				found = append(found, Found{candidate, count})
			}
		}
	}
	slices.SortFunc(found, func(a, b Found) int {
		return cmp.Or(cmp.Compare(a.From, b.From), cmp.Compare(a.Labels.Namespace, b.Labels.Namespace))
	})
	found = preferred(asked.Name, found)
	return Judgment{Known: true, Found: found, Problem: undecided(asked, found, part)}
}

// preferred leaves out the counter of a name where a series has the name itself.
func preferred(metric string, found []Found) []Found {
	exact := func(f Found) bool { return f.From == metric }
	if !slices.ContainsFunc(found, exact) {
		return found
	}
	return slices.DeleteFunc(found, func(f Found) bool { return f.From == metric+counterSuffix })
}

// undecided is why it is not clear what a metric is made from; nil where it is. part is another part of a histogram or summary.
func undecided(asked Ask, found []Found, part string) *Problem {
	field := fieldOf(asked)
	switch {
	case len(found) == 0:
		return problem(v1alpha1.AutoscalerRuleMissing,
			"Prometheus has no samples for %s that the metric %s could be derived from: neither %s nor a counter %s.",
			ownOf(asked), asked.Name, asked.Name, grammarOf(asked.Name, true).rates[0])
	case len(found) > 1:
		var choices []string
		for _, f := range found {
			choices = append(choices, f.described())
		}
		return problem(v1alpha1.AutoscalerDeriveAmbiguous,
			"The metric %s could be several things, since Prometheus has samples for %s of each: %s; state a rule in "+
				"%s.rules that says which.", asked.Name, ownOf(asked), text.Enumerate(choices, 4), field)
	case found[0].From == asked.Name && part != "":
		return problem(v1alpha1.AutoscalerDeriveCounter,
			"%s is a part of a histogram or summary, as %s is, and its value only grows; state a rule in %s.rules with "+
				"its rate.", asked.Name, part, field)
	case !found[0].Rate && found[0].Quantiles:
		return problem(v1alpha1.AutoscalerDeriveQuantile,
			"The series %s have the label quantile, and the sum of quantiles is none; state a rule in %s.rules, such as "+
				"one with quantile=\"0.99\" in its braces.", found[0].From, field)
	}
	return nil
}

func (f Found) described() string {
	if f.Labels.lookalike() {
		return f.How() + " by the label " + f.Labels.Namespace
	}
	return f.How()
}

// ownOf names what an HPA's metric is about.
func ownOf(asked Ask) string {
	switch asked.Type {
	case autoscalingv2.PodsMetricSourceType:
		return "the pods of " + asked.Target.Kind + " " + asked.Target.Name
	case autoscalingv2.ObjectMetricSourceType:
		if asked.Kind == "Namespace" {
			return "namespace " + asked.Namespace
		}
		return asked.Kind + " " + asked.Object
	default:
		return "namespace " + asked.Namespace + " and the selector of the metric"
	}
}
