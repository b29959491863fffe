// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package rules

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/prometheus/common/model"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/prometheus-adapter/pkg/client"
	"sigs.k8s.io/prometheus-adapter/pkg/naming"
)

// templatedName: name.as is no template. The metric would be called as it is written.
func templatedName(s *subject) string {
	if !strings.Contains(s.Name.As, "<<") && !strings.Contains(s.Name.As, "{{") {
		return ""
	}
	return fmt.Sprintf("name.as %q is no template, and the metric gets exactly that name; use the groups of name.matches, such as "+
		"${1}_per_second, or leave name.as out to keep the name of the series", brief(s.Name.As))
}

// excludedNames: the adapter drops the series that the rule is about.
func excludedNames(s *subject) string {
	if len(s.names) == 0 || len(s.kept()) > 0 {
		return ""
	}
	return fmt.Sprintf("seriesQuery %q selects series of the name %s, which %s, so the rule has no series; correct one of the two",
		brief(s.SeriesQuery), strings.Join(s.names, ", "), s.narrows())
}

// kept returns the names of series that pass seriesFilters and name.matches.
func (s *subject) kept() []string {
	var all []client.Series
	for _, name := range s.names {
		all = append(all, client.Series{Name: name})
	}
	var kept []string
	for _, series := range s.namer.FilterSeries(all) {
		kept = append(kept, series.Name)
	}
	return kept
}

// narrows names the fields by which the adapter drops series.
func (s *subject) narrows() string {
	switch {
	case s.Name.Matches != "" && len(s.SeriesFilters) == 0:
		return fmt.Sprintf("name.matches %q does not match", brief(s.Name.Matches))
	case s.Name.Matches == "":
		return "seriesFilters exclude"
	}
	return fmt.Sprintf("seriesFilters or name.matches %q exclude", brief(s.Name.Matches))
}

// twoLabels: of two labels for one resource the adapter uses one at random, in each of its pods anew.
func twoLabels(s *subject) string {
	seen := map[schema.GroupResource]string{}
	for _, label := range slices.Sorted(maps.Keys(s.labels)) {
		resource := s.labels[label]
		if first, twice := seen[resource]; twice {
			return fmt.Sprintf("resources.overrides has two labels for %s, %s and %s, and the adapter uses either at random; remove the "+
				"one that the series do not have", resource, first, label)
		}
		seen[resource] = label
	}
	return ""
}

// dashedSeries: a name with dashes is a subtraction where it stands before braces.
func dashedSeries(s *subject) string {
	if len(s.names) == 0 || model.LegacyValidation.IsValidMetricName(s.series) {
		return ""
	}
	for _, q := range s.queries {
		if q.expr == nil || len(s.about()) > 0 || !strings.Contains(q.text, s.series) {
			return ""
		}
	}
	return fmt.Sprintf("metricsQuery %q becomes a query for other series, because PromQL does not take %s for a name: a dash is a "+
		"subtraction there; write the name in quotes inside of the braces, as in {\"<<.Series>>\",<<.LabelMatchers>>}",
		brief(s.MetricsQuery), s.series)
}

// missingLabel: the adapter finds the value of an object by the label that names it. Without that the metric is always empty.
func missingLabel(s *subject) string {
	if s.external {
		return ""
	}
	var labels, resources []string
	var given []string
	for _, q := range s.queries {
		if q.expr == nil {
			return ""
		}
		label, of := s.label(q.resource.GroupResource), labelsOf(q.expr)
		if of.has(label) || s.Resources.Template != "" && s.leads(of) {
			return ""
		}
		if known, all := of.known(); all {
			given = known
		}
		if !slices.Contains(labels, label) {
			labels, resources = append(labels, label), append(resources, q.resource.Resource)
		}
	}
	grouped := ""
	if len(given) > 0 {
		grouped = fmt.Sprintf(" (they have %s at most)", strings.Join(given, ", "))
	}
	return fmt.Sprintf("metricsQuery %q gives series without the label %s%s, by which the adapter finds the value of each of the %s, so "+
		"the metric is always empty; write by (<<.GroupBy>>), as in sum(...) by (<<.GroupBy>>)",
		brief(s.MetricsQuery), strings.Join(labels, " or "), grouped, strings.Join(resources, " or "))
}

// leads is true where a template has one of the labels lead to an object, or may.
func (s *subject) leads(of labelSet) bool {
	known, all := of.known()
	if !all {
		return true
	}
	series := client.Series{Labels: model.LabelSet{}}
	for _, label := range known {
		series.Labels[model.LabelName(label)] = "sample"
	}
	resources, _ := s.namer.ResourcesForSeries(series)
	return len(resources) > 0
}

// unrestricted: what does not depend on the request gives the same to each.
func unrestricted(s *subject) string {
	if !s.ignoresRequest() || fixedSelection(s) != "" {
		return ""
	}
	const remedy = "write <<.LabelMatchers>> into the braces of its selectors, as in <<.Series>>{<<.LabelMatchers>>}"
	switch {
	case s.external && s.namespaced():
		return fmt.Sprintf("metricsQuery %q has no <<.LabelMatchers>>, so the namespace and the selector of a HorizontalPodAutoscaler are "+
			"ignored, and each gets the same; %s", brief(s.MetricsQuery), remedy)
	case s.external:
		return fmt.Sprintf("metricsQuery %q has no <<.LabelMatchers>>, so the selector of a HorizontalPodAutoscaler is ignored, and each "+
			"gets the same; %s", brief(s.MetricsQuery), remedy)
	case !slices.ContainsFunc(s.resources, func(r resource) bool { return r.namespaced }):
		return "" // The label alone names an object.
	}
	return fmt.Sprintf("metricsQuery %q has no <<.LabelMatchers>>, so objects of one name in different namespaces get one number, and the "+
		"selector of a HorizontalPodAutoscaler is ignored; %s", brief(s.MetricsQuery), remedy)
}

// ignoresRequest is true where the query is the same whatever is requested.
func (s *subject) ignoresRequest() bool {
	if s.external {
		other, err := s.namer.QueryForExternalSeries(s.series, "other", sampleSelector)
		return err == nil && string(other) == s.queries[0].text && s.note == ""
	}
	for _, q := range s.queries {
		namespace := ""
		if q.resource.namespaced {
			namespace = "other"
		}
		other, err := s.namer.QueryForSeries(s.series, q.resource.GroupResource, namespace, sampleSelector, "other-0")
		if err != nil || string(other) != q.text {
			return false
		}
	}
	return true
}

// namespaced is true where an external metric is that of the requested namespace.
func (s *subject) namespaced() bool {
	return s.Resources.Namespaced == nil || *s.Resources.Namespaced
}

// fixedSelection is the note about an external metric that is one number on purpose: the query itself says which series, and
// which namespace. There a selector would be ignored.
func fixedSelection(s *subject) string {
	if !s.external || s.queries[0].expr == nil || !s.ignoresRequest() {
		return ""
	}
	fixed := labelSet{allBut: true, listed: map[string]bool{}}
	selectors := selectorsOf(s.queries[0].expr)
	for _, selector := range selectors {
		fixed = fixed.and(onlyLabels(equalTo(selector, func(value string) bool { return value != "" })...))
	}
	namespace := s.label(naming.NsGroupResource)
	known, all := labelsOf(s.queries[0].expr).known()
	if len(selectors) == 0 || len(fixed.listed) == 0 || s.namespaced() && !fixed.has(namespace) || !all ||
		slices.ContainsFunc(known, func(label string) bool { return !fixed.has(label) }) {
		return ""
	}
	return "metricsQuery has no <<.LabelMatchers>>: it gives one number, and the selector of a HorizontalPodAutoscaler is ignored"
}
