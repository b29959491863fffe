// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package rules

import (
	"fmt"
	"slices"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"sigs.k8s.io/prometheus-adapter/pkg/client"
)

// made is what a rule makes of series: metrics under names, of resources.
type made struct {
	// names are all names of metrics; none where they are not known.
	names []string
	// of are the resources, or the template that names their labels.
	of []string
	// from is the same for rules of the same series.
	from string
	// any is true where labels lead to whatever resource there is, and name returns that of the metric of a series; empty for none.
	any  bool
	name func(series string) string
}

func madeBy(s *subject) made {
	m := made{any: s.Resources.Template != "", name: s.metricOf}
	for _, name := range s.kept() {
		named, err := s.namer.MetricNameForSeries(seriesOf(name))
		if err != nil {
			return made{}
		}
		m.names = append(m.names, named)
	}
	for _, resource := range s.resources {
		m.of = append(m.of, resource.String())
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

// Shadows is true where every metric of a rule is one of a later rule too. The adapter then serves the later one, if both have
// series: served says so. Rules of the same series have them both or neither.
func (f Findings) Shadows(earlier Findings, served bool) bool {
	if len(earlier.made.names) == 0 || !served && f.made.from != earlier.made.from {
		return false
	}
	return contains(f.made.names, earlier.made.names) && contains(f.made.of, earlier.made.of)
}

// Makes is true where a rule makes a metric of a resource: by the names that its series can have, or else from one of these. An empty
// resource is any.
func (f Findings) Makes(metric, resource string, series []string) bool {
	if resource != "" && !f.made.any && !slices.Contains(f.made.of, resource) {
		return false
	}
	if len(f.made.names) > 0 || f.made.name == nil {
		return slices.Contains(f.made.names, metric)
	}
	return slices.ContainsFunc(series, func(name string) bool { return f.made.name(name) == metric })
}

// metricOf returns the metric that is made of a series of this name, whatever its labels; empty for none.
func (s *subject) metricOf(series string) string {
	if s.selector != nil && slices.ContainsFunc(s.selector.LabelMatchers, func(m *labels.Matcher) bool {
		return m.Name == model.MetricNameLabel && !m.Matches(series)
	}) {
		return ""
	}
	if len(s.namer.FilterSeries([]client.Series{seriesOf(series)})) == 0 {
		return ""
	}
	metric, err := s.namer.MetricNameForSeries(seriesOf(series))
	if err != nil {
		return ""
	}
	return metric
}

// Names are those of the metrics that the rule makes; none where they are not known.
func (f Findings) Names() []string { return f.made.names }

// contains is true where all of one list are in another.
func contains(all, some []string) bool {
	return !slices.ContainsFunc(some, func(one string) bool { return !slices.Contains(all, one) })
}

func seriesOf(name string) client.Series { return client.Series{Name: name} }
