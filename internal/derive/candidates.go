// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package derive

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/metricspipeline/operator/api/v1alpha1"
)

// Candidate is a series that a rule for a metric could be derived from.
type Candidate struct {
	// From is its name, and Rate is true where the metric is its rate; else it is the sum.
	From string `json:"from"`
	Rate bool   `json:"rate,omitempty"`
	// Labels by which objects are found.
	Labels Labels `json:"labels"`
}

// How says what is made of the series.
func (c Candidate) How() string {
	if c.Rate {
		return "the rate of " + c.From
	}
	return "the sum of " + c.From
}

// ofContainers is true for series of cAdvisor, which has a series for the sandbox of each pod too.
func (c Candidate) ofContainers() bool { return strings.HasPrefix(c.From, containerPrefix) }

const (
	// counterSuffix ends the name of a counter, by OpenMetrics and by the default rules of the adapter's chart. That alone says whether
	// a series is one: not every store of series knows their metadata.
	counterSuffix = "_total"
	// containerPrefix begins the names of cAdvisor.
	containerPrefix = "container_"
	// longestName bounds what a question repeats.
	longestName = 128
)

// metricName is what Prometheus has always taken for the name of a series, and so what a rule can have unquoted.
var metricName = regexp.MustCompile(`^[a-zA-Z_:][a-zA-Z0-9_:]*$`)

// rateSuffixes end the names of metrics that are rates.
var rateSuffixes = []string{"_total_per_second", "_per_second", "_qps"}

// grammar is what a metric's name can stand for.
type grammar struct {
	metric string
	// rates and sums are the names of series.
	rates, sums []string
	// siblings are the other parts of a histogram or summary; with one of them the metric itself is a part too.
	siblings []string
}

// grammarOf returns what a metric's name can stand for. Those of cAdvisor are known without their prefix by the default rules of the
// adapter's chart.
func grammarOf(metric string, external bool) grammar {
	g := grammar{metric: metric, sums: []string{metric}}
	for _, suffix := range rateSuffixes {
		if base, found := strings.CutSuffix(metric, suffix); found && base != "" {
			g.rates = append(g.rates, base+counterSuffix)
			break
		}
	}
	g.rates = append(g.rates, metric+counterSuffix)
	if !external {
		g.rates = append(g.rates, metric+"_seconds"+counterSuffix, containerPrefix+metric+"_seconds"+counterSuffix,
			containerPrefix+metric+counterSuffix)
		g.sums = append(g.sums, containerPrefix+metric)
	}
	for _, part := range []string{"_count", "_sum"} {
		if base, found := strings.CutSuffix(metric, part); found {
			for _, other := range []string{"_count", "_sum", "_bucket"} {
				if other != part {
					g.siblings = append(g.siblings, base+other)
				}
			}
		}
	}
	return g
}

// names are all names that are not only known by a pattern.
func (g grammar) names() []string { return slices.Concat(g.sums, g.rates) }

// pattern is a regular expression of all series that are of interest.
func (g grammar) pattern() string {
	all := slices.Concat(g.names(), g.siblings)
	all[0] = strings.ReplaceAll(g.metric, "_", "[_:]")
	return strings.Join(all, "|")
}

// recorded is true for the name of a recording rule, which has colons where that of a metric has underscores.
func (g grammar) recorded(series string) bool {
	return strings.ReplaceAll(series, ":", "_") == strings.ReplaceAll(g.metric, ":", "_")
}

// candidate returns what is made of a series; false for nothing.
func (g grammar) candidate(series string, labels Labels) (Candidate, bool) {
	c := Candidate{From: series, Labels: labels, Rate: slices.Contains(g.rates, series)}
	return c, c.Rate || slices.Contains(g.sums, series) || g.recorded(series)
}

// quantile is in names of quantiles.
var quantile = regexp.MustCompile(`(^|[_:])(p[0-9]{2,3}|quantile|percentile|median)([_:]|$)`)

// ratio ends names of ratios.
var ratio = regexp.MustCompile(`[_:](ratio|percent|percentage|pct)$`)

// refused returns why no rule is derived for a metric of this name, whatever Prometheus has; nil where one can be.
func refused(metric, field string) *Problem {
	if !metricName.MatchString(metric) {
		return problem(v1alpha1.AutoscalerDeriveRefused,
			"%q is not a name that series of Prometheus have; ask for the name of a series, or state a rule in "+
				"%s.rules with this name in name.as.", brief(metric), field)
	}
	if len(metric) > longestName {
		return problem(v1alpha1.AutoscalerDeriveRefused,
			"The name %s has %d characters, and a rule is derived for at most %d; state a rule in %s.rules.",
			brief(metric), len(metric), longestName, field)
	}
	if base, counter := strings.CutSuffix(metric, counterSuffix); counter {
		return problem(v1alpha1.AutoscalerDeriveCounter,
			"%s is a counter by its name, and its value only grows; ask for %s_per_second, which is its rate.",
			metric, base)
	}
	if strings.HasSuffix(metric, "_bucket") {
		return problem(v1alpha1.AutoscalerDeriveQuantile,
			"%s is a bucket of a histogram by its name; state a rule with histogram_quantile in %s.rules.", metric, field)
	}
	if quantile.MatchString(metric) {
		return problem(v1alpha1.AutoscalerDeriveQuantile,
			"%s is a quantile by its name, and the sum of quantiles is none; state a rule in %s.rules, such as one "+
				"with histogram_quantile.", metric, field)
	}
	if ratio.MatchString(metric) {
		return problem(v1alpha1.AutoscalerDeriveRatio,
			"%s is a ratio by its name, and the sum of ratios is none; state a rule in %s.rules that divides two sums.",
			metric, field)
	}
	return nil
}

// brief is a name as messages quote it.
func brief(name string) string {
	if len(name) > longestName {
		return name[:longestName] + "..."
	}
	return name
}

// Problem is why no rule is derived for a metric of an HPA.
type Problem struct {
	// Reason is one of v1alpha1.AutoscalerDerive*, or AutoscalerRuleMissing where there are no samples.
	Reason string
	// Message is one sentence, or two, with names and values, and the remedy. It names nothing of another namespace.
	Message string
	// ofOthers is true where it depends on what else is asked for.
	ofOthers bool
}

func ofOthers(reason, format string, args ...any) *Problem {
	p := problem(reason, format, args...)
	p.ofOthers = true
	return p
}

func problem(reason, format string, args ...any) *Problem {
	return &Problem{Reason: reason, Message: fmt.Sprintf(format, args...)}
}
