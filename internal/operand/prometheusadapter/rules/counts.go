// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package rules

import (
	"fmt"
	"slices"
	"strings"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql/parser"
	"sigs.k8s.io/prometheus-adapter/pkg/naming"
)

// mostCounts bounds what is counted for one rule.
const mostCounts = 16

// purpose of a count.
type purpose int

const (
	// ofRule: the series of the rule.
	ofRule purpose = iota
	// unfiltered: those that seriesQuery selects, whatever their names.
	unfiltered
	// unmatched: those that lack a label, or have another value, and are as the rule wants them otherwise.
	unmatched
	// described: those that name an object of a resource.
	described
	// let: those that metricsQuery takes although seriesQuery excludes them.
	let
	// subtracted: those of a name that stands before a dash.
	subtracted
)

// count is how many series a selector selects, and why that is of interest.
type count struct {
	purpose  purpose
	selector string
	// matcher is the one that is left out of the selector, or reversed in it.
	matcher *labels.Matcher
	// resource that the series describe, with its labels; names that a dash joins.
	resource string
	labels   []string
}

// Selectors are those whose series are to be counted for Verdict: the first is that of the rule. None where nothing can be said.
func (f Findings) Selectors() []string {
	var selectors []string
	for _, count := range f.counts {
		if !slices.Contains(selectors, count.selector) {
			selectors = append(selectors, count.selector)
		}
	}
	return selectors
}

// countsOf returns what is to be counted for a rule.
func countsOf(s *subject) []count {
	if s.selector == nil {
		return nil
	}
	matchers := s.selector.LabelMatchers
	counts := []count{{purpose: ofRule, selector: selectorOf(append(slices.Clone(matchers), s.filters()...))}}
	if len(s.filters()) > 0 {
		counts = append(counts, count{purpose: unfiltered, selector: selectorOf(matchers)})
	}
	counts = append(counts, s.subtractions()...)
	counts = append(counts, s.descriptions()...)
	counts = append(counts, s.losses()...)
	for i, matcher := range matchers {
		others := slices.Delete(slices.Clone(matchers), i, i+1)
		if matcher.Name != labels.MetricName && selects(others) {
			counts = append(counts, count{purpose: unmatched, selector: selectorOf(append(others, s.filters()...)), matcher: matcher})
		}
	}
	return counts[:min(len(counts), mostCounts)]
}

// selects is true for matchers that do not select every series.
func selects(matchers []*labels.Matcher) bool {
	return slices.ContainsFunc(matchers, func(m *labels.Matcher) bool { return m.Name == labels.MetricName && !m.Matches("") })
}

// filters are seriesFilters and name.matches as matchers. They match a part of a name, and are not needed where that is known.
func (s *subject) filters() []*labels.Matcher {
	if len(s.names) > 0 {
		return nil
	}
	var filters []*labels.Matcher
	add := func(kind labels.MatchType, expression string) {
		if expression == "" {
			return
		}
		if matcher, err := labels.NewMatcher(kind, labels.MetricName, "(?s:.*)(?:"+expression+")(?s:.*)"); err == nil {
			filters = append(filters, matcher)
		}
	}
	for _, filter := range s.SeriesFilters {
		add(labels.MatchRegexp, filter.Is)
		add(labels.MatchNotRegexp, filter.IsNot)
	}
	add(labels.MatchRegexp, s.Name.Matches)
	return filters
}

// descriptions counts the series that name an object, for each resource. Where a template names labels, any may.
func (s *subject) descriptions() []count {
	if s.Resources.Template != "" {
		return nil
	}
	var counts []count
	add := func(resource string, names ...string) {
		matchers := slices.Clone(s.selector.LabelMatchers)
		for _, name := range names {
			if !slices.ContainsFunc(matchers, func(m *labels.Matcher) bool { return m.Name == name && !m.Matches("") }) {
				matchers = append(matchers, nonEmpty(name))
			}
		}
		counts = append(counts, count{purpose: described, resource: resource, labels: names,
			selector: selectorOf(append(matchers, s.filters()...))})
	}
	namespace := s.label(naming.NsGroupResource)
	if s.external {
		// The series of another name, which metricsQuery may query, can have other labels.
		if s.namespaced() && s.restricts(namespace) {
			add(naming.NsGroupResource.Resource, namespace)
		}
		return counts
	}
	for _, resource := range s.resources {
		names := []string{s.label(resource.GroupResource)}
		if resource.namespaced && s.restricts(namespace) {
			names = append(names, namespace)
		}
		add(resource.Resource, names...)
	}
	return counts
}

func nonEmpty(name string) *labels.Matcher {
	return &labels.Matcher{Type: labels.MatchNotEqual, Name: name, Value: ""}
}

// restricts is true where the query takes only those of the rule's series that have a value of the label.
func (s *subject) restricts(label string) bool {
	about := s.about()
	return len(about) > 0 && !slices.ContainsFunc(about, func(selector *parser.VectorSelector) bool {
		return !slices.Contains(equalTo(selector, func(value string) bool { return value == sampleNamespace }), label)
	})
}

// losses counts what metricsQuery takes although a matcher of seriesQuery excludes it. A label that metricsQuery speaks of is not
// lost.
func (s *subject) losses() []count {
	about := s.about()
	if len(s.names) != 1 || len(about) == 0 {
		return nil
	}
	var counts []count
	for i, matcher := range s.selector.LabelMatchers {
		if matcher.Name == labels.MetricName || s.speaksOf(matcher.Name) {
			continue
		}
		reversed, err := matcher.Inverse()
		if err != nil {
			continue
		}
		matchers := slices.Clone(s.selector.LabelMatchers)
		matchers[i] = reversed
		counts = append(counts, count{purpose: let, selector: selectorOf(matchers), matcher: matcher})
	}
	return counts
}

// speaksOf is true for a label that metricsQuery compares, groups by or takes for an object.
func (s *subject) speaksOf(label string) bool {
	if _, object := s.labels[label]; object {
		return true
	}
	for _, q := range s.queries {
		if known, all := labelsOf(q.expr).known(); all && slices.Contains(known, label) {
			return true
		}
	}
	return slices.ContainsFunc(s.about(), func(selector *parser.VectorSelector) bool {
		return slices.ContainsFunc(selector.LabelMatchers, func(m *labels.Matcher) bool { return m.Name == label })
	})
}

// subtractions counts the series of names that a dash without spaces joins, as in http-requests: perhaps they are one name.
func (s *subject) subtractions() []count {
	var counts []count
	for _, q := range s.queries {
		if q.expr == nil {
			return nil
		}
		parser.Inspect(q.expr, func(node parser.Node, _ []parser.Node) error {
			binary, ok := node.(*parser.BinaryExpr)
			if !ok {
				return nil
			}
			joined := dashed(binary, q.text)
			for _, name := range joined[:max(0, len(joined)-1)] {
				known := slices.ContainsFunc(counts, func(c count) bool { return c.labels[0] == name })
				if matcher, err := labels.NewMatcher(labels.MatchEqual, labels.MetricName, name); err == nil && !known {
					counts = append(counts, count{purpose: subtracted, labels: []string{name, strings.Join(joined, "-")},
						selector: selectorOf([]*labels.Matcher{matcher})})
				}
			}
			return nil
		})
	}
	return counts
}

// dashed returns the names that are joined by dashes in an expression; nil for a subtraction that is written as one.
func dashed(expr parser.Expr, in string) []string {
	if selector, ok := expr.(*parser.VectorSelector); ok && selector.Name != "" {
		return []string{selector.Name}
	}
	binary, ok := expr.(*parser.BinaryExpr)
	if !ok || binary.Op != parser.SUB || binary.VectorMatching == nil {
		return nil
	}
	left, right := dashed(binary.LHS, in), dashed(binary.RHS, in)
	last, ok := lastOf(binary.LHS).(*parser.VectorSelector)
	if len(left) == 0 || len(right) != 1 || !ok || len(last.LabelMatchers) != 1 {
		return nil
	}
	from, to := int(last.PositionRange().End), int(binary.RHS.PositionRange().Start)
	if from > to || to > len(in) || in[from:to] != "-" {
		return nil
	}
	return append(left, right...)
}

// lastOf is what stands before the last operator.
func lastOf(expr parser.Expr) parser.Expr {
	if binary, ok := expr.(*parser.BinaryExpr); ok {
		return lastOf(binary.RHS)
	}
	return expr
}

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
		case c.purpose == let && v.Series > 0 && n > 0:
			say(fmt.Sprintf("metricsQuery has no %s, so it takes series too that seriesQuery excludes; write %s into its braces, or "+
				"remove it from seriesQuery", c.matcher, c.matcher))
		case c.purpose == subtracted && n == 0:
			say(fmt.Sprintf("metricsQuery subtracts: %s is no name but a subtraction, and there are no series %s; write the name in quotes "+
				"inside of the braces, as in {%q,<<.LabelMatchers>>}, or correct it", c.labels[1], c.labels[0], c.labels[1]))
		}
	}
	if v.Series > 0 {
		say(f.undescribed(series))
	} else if len(v.Defects) == 0 {
		v.Defects, v.Note = f.without(series)
	}
	return v
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
		case c.purpose != unmatched || n == 0:
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

// made is what a rule makes of series: metrics under names, of resources.
type made struct {
	// names are all names of metrics; none where they are not known.
	names []string
	// of are the resources, or the template that names their labels.
	of []string
	// from is the same for rules of the same series.
	from string
}

func madeBy(s *subject) made {
	var m made
	for _, name := range s.kept() {
		named, err := s.namer.MetricNameForSeries(seriesOf(name))
		if err != nil {
			return made{}
		}
		m.names = append(m.names, named)
	}
	for _, resource := range s.resources {
		m.of = append(m.of, resource.GroupResource.String())
	}
	if s.Resources.Template != "" {
		m.of = []string{s.Resources.Template}
	}
	if s.external {
		m.of = []string{""}
	}
	m.from = fmt.Sprint(s.SeriesQuery, s.SeriesFilters)
	return m
}
