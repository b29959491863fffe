// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package rules

import (
	"fmt"
	"strings"

	"github.com/prometheus/prometheus/model/labels"
)

// Verdict is what Prometheus' series say about a rule.
type Verdict struct {
	// Series is how many the rule has.
	Series int64
	// Defects are why the rule cannot work with them, and Note what is to be known of it although it can.
	Defects []string
	Note    string
}

// Verdict judges a rule by the numbers of series of Selectors.
func (f Findings) Verdict(series map[string]int64) Verdict {
	v := Verdict{Series: series[f.counts[0].selector]}
	say := func(defect string) {
		if defect != "" {
			v.Defects = append(v.Defects, defect)
		}
	}
	for _, c := range f.counts {
		n := series[c.selector]
		switch {
		case c.purpose == unfiltered && v.Series == 0 && n > 0:
			say("seriesFilters and name.matches exclude every series of seriesQuery; correct them")
		case c.purpose == subtracted && n == 0:
			say(fmt.Sprintf("metricsQuery subtracts: %s is no name but a subtraction, and there are no series %s; write the name in "+
				"quotes inside of the braces, as in {%q,<<.LabelMatchers>>}, or correct it", c.labels[1], c.labels[0], c.labels[1]))
		}
	}
	if v.Series > 0 {
		say(f.undescribed(series))
		v.Defects = append(v.Defects, f.lost(series)...)
	} else if len(v.Defects) == 0 {
		v.Defects, v.Note = f.without(series)
	}
	return v
}

// lost are the matchers of seriesQuery without which metricsQuery takes more of each object, whatever its resource.
func (f Findings) lost(series map[string]int64) []string {
	var defects []string
	all := map[*labels.Matcher]bool{}
	for _, c := range f.counts {
		if before, seen := all[c.matcher]; c.purpose == mixed {
			all[c.matcher] = series[c.selector] > 0 && (before || !seen)
		}
	}
	for _, c := range f.counts {
		if c.purpose == mixed && all[c.matcher] {
			all[c.matcher] = false
			defects = append(defects, fmt.Sprintf("metricsQuery has no %s, so it takes series too that seriesQuery excludes; write %s "+
				"into its braces, or remove it from seriesQuery", c.matcher, c.matcher))
		}
	}
	return defects
}

// undescribed is why none of the series names an object.
func (f Findings) undescribed(series map[string]int64) string {
	var missing []string
	for _, c := range f.counts {
		if c.purpose != described {
			continue
		}
		if series[c.selector] > 0 {
			return ""
		}
		missing = append(missing, fmt.Sprintf("%s (for %s)", strings.Join(c.labels, " and "), c.resource))
	}
	if len(missing) == 0 {
		return ""
	}
	return fmt.Sprintf("none of the series of seriesQuery has the labels by which resources.overrides finds objects: %s; correct the "+
		"names of the labels, or have the series labeled so", strings.Join(missing, ", "))
}

// without is why there are no series: the label that others do not have, or nothing that is wrong with the rule.
func (f Findings) without(series map[string]int64) (defects []string, note string) {
	note = "Prometheus has no series of seriesQuery yet, so the metric has no value"
	for _, c := range f.counts {
		n := series[c.selector]
		switch {
		case n == 0:
		case c.purpose == unlabeled && len(defects) == 0:
			defects = append(defects, fmt.Sprintf("seriesQuery wants the labels %s, and no series that it would select otherwise has all "+
				"of them; correct the labels, or have them labeled so", strings.Join(c.labels, ", ")))
		case c.purpose != unmatched:
		case filled(c.matcher):
			defects = append(defects, fmt.Sprintf("seriesQuery wants the label %s, and the series that it would select otherwise do not "+
				"have it; correct the label, or have them labeled so", c.matcher.Name))
		default:
			note = fmt.Sprintf("Prometheus has no series of seriesQuery yet, and some where %s is left out", c.matcher)
		}
	}
	if len(defects) > 0 {
		note = ""
	}
	return defects, note
}
