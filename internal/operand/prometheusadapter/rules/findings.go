// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package rules

import (
	"slices"
	"strings"

	"github.com/prometheus/prometheus/promql/parser"
	"k8s.io/apimachinery/pkg/runtime/schema"
	adapter "sigs.k8s.io/prometheus-adapter/pkg/config"
	"sigs.k8s.io/prometheus-adapter/pkg/naming"

	"github.com/metricspipeline/operator/api/v1alpha1"
	"github.com/metricspipeline/operator/internal/text"
)

// subject is a rule that the adapter runs, and what it comes to.
type subject struct {
	adapter.DiscoveryRule
	external bool
	dialect  v1alpha1.QueryDialect
	namer    naming.MetricNamer
	// selector is seriesQuery; nil where it is not known to be PromQL.
	selector *parser.VectorSelector
	// series is the name that the queries were made for, and names are those that the rule's series can have; empty where that is
	// not known.
	series string
	names  []string
	// labels are the resources that overrides name, by the label, and resources those that the metric describes.
	labels    map[string]schema.GroupResource
	resources []resource
	// queries are those for each of the resources, or the one of an external metric.
	queries []query
	// note is what the rule cannot do although it works.
	note string
}

// query is what the adapter sends for objects of a resource.
type query struct {
	resource resource
	text     string
	// expr is nil where the query is not known to be PromQL.
	expr parser.Expr
}

// Findings are what is known of an accepted rule.
type Findings struct {
	// Defects are why the rule cannot work as it is written, each with the remedy.
	Defects []string
	// Note is what the rule cannot do although it works; empty for nothing.
	Note string

	counts []count
	made   made
}

// defects are what can be seen in a rule alone. Each reports only what is certain: a rule that works has none.
var defects = []func(*subject) string{
	templatedName,
	excludedNames,
	twoLabels,
	dashedSeries,
	missingLabel,
	unrestricted,
}

// findings returns what is known of a rule that the adapter runs.
func findings(s *subject) (found Findings) {
	defer func() {
		// What cannot be examined is no defect: the rule has been accepted.
		if recover() != nil {
			found = Findings{}
		}
	}()
	for _, look := range defects {
		if defect := look(s); defect != "" {
			found.Defects = append(found.Defects, defect)
		}
	}
	found.Note = s.note
	if note := fixedSelection(s); found.Note == "" {
		found.Note = note
	}
	found.counts, found.made = countsOf(s), madeBy(s)
	return found
}

// longestQuoted bounds what a message repeats of a field, in bytes.
const longestQuoted = 200

// brief is the beginning of a field, on one line.
func brief(field string) string {
	return text.Shorten(strings.Join(strings.Fields(field), " "), longestQuoted)
}

// label returns the label of the series that names objects of a resource; empty for none.
func (s *subject) label(resource schema.GroupResource) string {
	label, err := s.namer.LabelForResource(resource)
	if err != nil {
		return ""
	}
	return string(label)
}

// about are the selectors of the metricsQuery for the series of seriesQuery.
func (s *subject) about() []*parser.VectorSelector {
	var about []*parser.VectorSelector
	for _, q := range s.queries {
		if q.expr == nil {
			return nil
		}
		about = append(about, slices.DeleteFunc(selectorsOf(q.expr), func(selector *parser.VectorSelector) bool {
			return !slices.Contains(namesOf(selector), s.series)
		})...)
	}
	return about
}
