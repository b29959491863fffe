// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package diagnose

import (
	"fmt"
	"slices"
	"strings"

	"github.com/metricspipeline/operator/api/v1alpha1"
)

// refusals are the sentences for why a rule is not derived, where the evidence has none.
var refusals = map[string]func(v view) (cause, remedy string){
	v1alpha1.AutoscalerDeriveCounter: func(v view) (string, string) {
		return fmt.Sprintf("%s asks for the counter %s by its own name, whose value only grows.", v.hpa(), quoted(v.metricName())),
			fmt.Sprintf("Ask for its rate, %s, in spec.metrics[%d].", quoted(rateOf(v.metricName())), v.at)
	},
	v1alpha1.AutoscalerDeriveJob: func(v view) (string, string) {
		return fmt.Sprintf("%s takes the label job of the series for a Job of batch, and it is the name of the scrape job.", v.hpa()),
			"Take a metric of the pods or of their Service; or have the exporter name the Job in a label job_name, and write a rule for it."
	},
	v1alpha1.AutoscalerDeriveQuantile: func(v view) (string, string) {
		return fmt.Sprintf("No rule makes the %s, and a quantile is not derived: which buckets and which window it is of, no name says.",
			v.measured()), v.writeRule("with histogram_quantile over the rate of the buckets")
	},
	v1alpha1.AutoscalerDeriveRatio: func(v view) (string, string) {
		return fmt.Sprintf("No rule makes the %s, and a ratio is not derived: of which two series it is, no name says.", v.measured()),
			v.writeRule("that divides one by the other")
	},
	v1alpha1.AutoscalerDeriveAmbiguous: func(v view) (string, string) {
		return fmt.Sprintf("No rule makes the %s, and it could be derived from several series of %s.", v.measured(), v.subject()),
			v.writeRule("that names one of these; or the HPA asks for one of them by its exact name")
	},
	v1alpha1.AutoscalerDeriveLimit: func(v view) (string, string) {
		return fmt.Sprintf("No rule makes the %s, and no more rules are derived.", v.measured()),
			v.writeRule("that makes it, or HPAs that ask for metrics without a rule are removed")
	},
	v1alpha1.AutoscalerDeriveRefused: func(v view) (string, string) {
		return fmt.Sprintf("No rule makes the %s, and none is derived.", v.measured()), v.writeRule("that makes it")
	},
}

func (v view) writeRule(how string) string {
	return fmt.Sprintf("An administrator adds a rule to %s.rules of MetricsPipeline default %s.", v.field(), how)
}

// rateOf is the name by which a rule for the rate of a counter is derived.
func rateOf(counter string) string { return strings.TrimSuffix(counter, "_total") + "_per_second" }

// notDerived says why no rule is derived for a metric that none makes. Where it is only that there are no series, the links behind say why.
func notDerived(v view) *Finding {
	if len(v.metric.Rules) > 0 || v.metric.Series.Unreachable != "" {
		return nil
	}
	if v.metric.DeriveDisabled {
		return byAdministrator(found(v1alpha1.AutoscalerDeriveDisabled,
			fmt.Sprintf("No rule makes the %s, and %s.derive of MetricsPipeline default is Disabled.", v.measured(), v.field()),
			fmt.Sprintf("An administrator sets it to Enabled, or adds a rule to %s.rules.", v.field())))
	}
	reason := v.metric.CandidatesReason
	if reason == "" || reason == v1alpha1.AutoscalerRuleMissing {
		return derivable(v)
	}
	if _, known := refusals[reason]; !known {
		reason = v1alpha1.AutoscalerDeriveRefused
	}
	cause, remedy := v.refused(refusals[reason])
	return found(reason, cause, remedy)
}

// refused is why a rule is not derived and what to do: what the evidence says of it, as "what is wrong; what to do", else what is known of
// the reason.
func (v view) refused(known func(view) (cause, remedy string)) (cause, remedy string) {
	cause, remedy = known(v)
	if problem := sentence(v.metric.CandidatesProblem); problem != "" {
		what, todo, both := strings.Cut(problem, "; ")
		cause = sentence(what)
		if both && todo != "" {
			remedy = upper(todo)
		}
	}
	return cause, remedy
}

// derivable is what comes of candidates that have samples: one becomes a rule, of several none does.
func derivable(v view) *Finding {
	var series, ways []string
	for _, candidate := range v.metric.Candidates {
		if candidate.Samples > 0 && !slices.Contains(series, candidate.Series) {
			series, ways = append(series, quoted(candidate.Series)), append(ways, quoted(candidate.How))
		}
	}
	switch len(series) {
	case 0:
		return nil
	case 1:
		return found(v1alpha1.AutoscalerRuleDeriving,
			fmt.Sprintf("A rule for the %s is being derived from the series %s: %s.", v.measured(), series[0], ways[0]),
			"Wait: it serves within 3 minutes, since derived rules are rolled out once in 2 minutes.")
	default:
		return found(v1alpha1.AutoscalerDeriveAmbiguous,
			fmt.Sprintf("No rule makes the %s, and it could be derived from several series of %s: %s.",
				v.measured(), v.subject(), strings.Join(series[:min(len(series), mostNamed)], ", ")),
			v.writeRule("that names one of these; or the HPA asks for one of them by its exact name"))
	}
}

// ruleMissing is the finding where nothing behind the rule is broken: the app is scraped, and has no such series.
func ruleMissing(v view) *Finding {
	if len(v.metric.Rules) > 0 {
		return nil
	}
	if v.spec.External != nil {
		return found(v1alpha1.AutoscalerRuleMissing,
			v.sought(fmt.Sprintf("No rule makes the %s, and Prometheus has no series of this name in namespace %s.",
				v.measured(), name(v.HPA.Namespace))),
			"Correct the name of the metric in "+v.hpa()+"; or "+lower(v.writeRule("that makes it")))
	}
	return found(v1alpha1.AutoscalerRuleMissing,
		v.sought(fmt.Sprintf("No rule makes the %s, and there are no series of %s from which one is derived by its name.",
			v.measured(), v.subject())),
		"Correct the name of the metric in "+v.hpa()+", or have the app expose it; or "+lower(v.writeRule("that makes it")))
}

// sought is what was looked for, as the evidence says it.
func (v view) sought(otherwise string) string {
	if v.metric.CandidatesReason != v1alpha1.AutoscalerRuleMissing || v.metric.CandidatesProblem == "" {
		return otherwise
	}
	return join(fmt.Sprintf("No rule makes the %s.", v.measured()), sentence(v.metric.CandidatesProblem))
}

func lower(sentence string) string { return strings.ToLower(sentence[:1]) + sentence[1:] }
