// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package collect

import (
	"slices"
	"strings"

	"github.com/prometheus/common/model"
	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/metricspipeline/operator/internal/diagnose"
	"github.com/metricspipeline/operator/internal/operand"
	"github.com/metricspipeline/operator/internal/presets"
)

// presetTerm begins the names of questions about the series of ingress controllers.
const presetTerm = "preset "

// ofControllers says whether a metric is made of series of an ingress controller or, where no rule makes it, has the name of one that
// would be.
func ofControllers(metric *diagnose.Metric, request operand.MetricRequest, rules []served) {
	if len(rules) > 0 {
		metric.FromController = rules[0].ByQuery || presets.Reads(rules[0].series(), rules[0].NamespaceLabel)
		return
	}
	for _, preset := range presetsFor(request) {
		if request.Name == preset.Metric || request.Name == preset.Series {
			metric.Presets = append(metric.Presets, preset.Name)
		}
	}
	metric.FromController = len(metric.Presets) > 0
}

// presetsFor are those that are about the resource of a request.
func presetsFor(request operand.MetricRequest) []presets.Preset {
	return slices.DeleteFunc(slices.Clone(presets.All), func(p presets.Preset) bool {
		return p.Object.Group != request.Resource.Group || p.Object.Resource != request.Resource.Resource
	})
}

// countPresets asks for series of controllers that name the object, where they have a label for its namespace. Any app can expose such
// series, so an answer is a reason for advice, and for nothing else.
func countPresets(t *terms, request operand.MetricRequest) {
	if len(request.Objects) == 0 {
		return
	}
	for _, preset := range presetsFor(request) {
		if preset.Within == "" {
			selector := series(preset.Series).with(equal(preset.NamespaceLabel, request.Namespace),
				oneOf(preset.ObjectLabel, request.Objects))
			t.inside(presetTerm+preset.Name, count(selector.String()), preset.NamespaceLabel)
		}
	}
}

// readPresets takes the numbers of countPresets.
func readPresets(numbers map[string]float64, metric *diagnose.Metric) {
	for term, number := range numbers {
		name, of := strings.CutPrefix(term, presetTerm)
		if of && number > 0 && !slices.Contains(metric.Presets, name) {
			metric.Presets = append(metric.Presets, name)
		}
	}
	slices.Sort(metric.Presets)
	metric.FromController = len(metric.Presets) > 0
}

// plain is true for names that objects can have.
func plain(names []string) bool {
	return !slices.ContainsFunc(names, func(name string) bool { return len(validation.IsDNS1123Subdomain(name)) > 0 })
}

// series is the name of the rule's series; empty where it is not known.
func (s served) series() string {
	for _, matcher := range s.selector {
		if matcher.Name == model.MetricNameLabel {
			return matcher.Value
		}
	}
	return ""
}
