// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package rules

import (
	"slices"
	"strings"

	"github.com/prometheus/common/model"
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
	// unmatched: those that have another value of a label or none, and are as the rule wants them otherwise. unlabeled: those that may
	// have none of the labels that it wants.
	unmatched
	unlabeled
	// described: those that name an object of a resource.
	described
	// mixed: those of objects of which metricsQuery takes others too, which seriesQuery excludes.
	mixed
	// subtracted: those of a name that stands before a dash.
	subtracted
)

// count is how many series a vector has, and why that is of interest.
type count struct {
	purpose purpose
	// selector, or two of them.
	selector string
	// matcher is the one that is left out of the selector, or reversed in it.
	matcher *labels.Matcher
	// resource that the series describe, with its labels; labels that the rule wants; or names that a dash joins.
	resource string
	labels   []string
}

// Selectors make the vectors whose series are to be counted for Verdict: the first is that of the rule. None where nothing can be said.
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
	add := func(group []count) {
		if len(counts)+len(group) <= mostCounts { // A part of a group says what the whole may not.
			counts = append(counts, group...)
		}
	}
	if len(s.filters()) > 0 {
		add([]count{{purpose: unfiltered, selector: selectorOf(matchers)}})
	}
	add(s.subtractions())
	add(s.descriptions())
	for _, lost := range s.losses() {
		add(lost)
	}
	for _, left := range s.leftOut() {
		add([]count{left})
	}
	return counts
}

// leftOut counts the series without each of the matchers on labels, which is why there are none with all of them.
func (s *subject) leftOut() []count {
	var counts []count
	var wanted []string
	unlabeledMatchers := s.filters()
	for i, matcher := range s.selector.LabelMatchers {
		if filled(matcher) && matcher.Name != model.MetricNameLabel {
			wanted = append(wanted, matcher.Name)
		} else {
			unlabeledMatchers = append(unlabeledMatchers, matcher)
		}
		others := slices.Delete(slices.Clone(s.selector.LabelMatchers), i, i+1)
		if matcher.Name != model.MetricNameLabel && selects(others) {
			counts = append(counts, count{purpose: unmatched, selector: selectorOf(append(others, s.filters()...)), matcher: matcher})
		}
	}
	if len(wanted) > 1 && selects(unlabeledMatchers) {
		counts = append(counts, count{purpose: unlabeled, selector: selectorOf(unlabeledMatchers), labels: wanted})
	}
	return counts
}

// selects is true for matchers that do not select every series.
func selects(matchers []*labels.Matcher) bool {
	return slices.ContainsFunc(matchers, func(m *labels.Matcher) bool { return m.Name == model.MetricNameLabel && !m.Matches("") })
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
		if matcher, err := labels.NewMatcher(kind, model.MetricNameLabel, "(?s:.*)(?:"+expression+")(?s:.*)"); err == nil {
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
		counts = append(counts, count{purpose: described, resource: resource, labels: names,
			selector: selectorOf(append(object(names).of(s.selector.LabelMatchers), s.filters()...))})
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

// restricts is true where the query takes only those of the rule's series that have a value of the label.
func (s *subject) restricts(label string) bool {
	about := s.about()
	return len(about) > 0 && !slices.ContainsFunc(about, func(selector *parser.VectorSelector) bool {
		return !slices.Contains(equalTo(selector, func(value string) bool { return value == sampleNamespace }), label)
	})
}

// losses counts the series of objects of which metricsQuery takes others too, because it does not have a matcher of seriesQuery. That
// other objects have such series is no loss: nothing requests those. Nor is a label lost that metricsQuery speaks of.
func (s *subject) losses() [][]count {
	if len(s.names) != 1 || len(s.about()) == 0 {
		return nil
	}
	var counts [][]count
	for i, matcher := range s.selector.LabelMatchers {
		if matcher.Name == model.MetricNameLabel || s.speaksOf(matcher.Name) {
			continue
		}
		reversed, err := matcher.Inverse()
		if err != nil {
			continue
		}
		var lost []count
		for _, object := range s.objects() {
			taken, excluded := object.of(s.selector.LabelMatchers), object.of(s.selector.LabelMatchers)
			excluded[i] = reversed
			lost = append(lost, count{purpose: mixed, matcher: matcher,
				selector: selectorOf(taken) + " and on (" + strings.Join(object, ",") + ") " + selectorOf(excluded)})
		}
		counts = append(counts, lost)
	}
	return counts
}

// object are the labels by which metricsQuery restricts series to one object.
type object []string

// of returns matchers for series that name an object.
func (o object) of(matchers []*labels.Matcher) []*labels.Matcher {
	matchers = slices.Clone(matchers)
	for _, name := range o {
		if !slices.ContainsFunc(matchers, func(m *labels.Matcher) bool { return m.Name == name && !m.Matches("") }) {
			matchers = append(matchers, &labels.Matcher{Type: labels.MatchNotEqual, Name: name, Value: ""})
		}
	}
	return matchers
}

// objects are those that the metric is requested for: one for each resource, or for an external metric a namespace or everything.
func (s *subject) objects() []object {
	namespace := s.label(naming.NsGroupResource)
	if s.external {
		if s.namespaced() {
			return []object{{namespace}}
		}
		return []object{{}}
	}
	var objects []object
	for _, resource := range s.resources {
		labels := object{s.label(resource.GroupResource)}
		if resource.namespaced && namespace != "" {
			labels = append(labels, namespace)
		}
		objects = append(objects, labels)
	}
	return slices.DeleteFunc(objects, func(o object) bool {
		return slices.ContainsFunc(o, func(name string) bool { return !model.LegacyValidation.IsValidLabelName(name) })
	})
}

// speaksOf is true for a label that metricsQuery compares, groups by or takes for an object.
func (s *subject) speaksOf(label string) bool {
	if _, object := s.labels[label]; object || s.Resources.Template != "" && s.leads(onlyLabels(label)) {
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
