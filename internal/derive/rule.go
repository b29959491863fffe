// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package derive

import (
	"slices"
	"strings"
	"time"

	"github.com/prometheus/common/model"

	"github.com/metricspipeline/operator/api/v1alpha1"
	"github.com/metricspipeline/operator/internal/metricsapi"
)

// Rule is one that is derived.
type Rule struct {
	Key
	Candidate
	// Namespace and Autoscaler are those of one HPA that asks for it: the first one, as long as it does.
	Namespace  string `json:"namespace"`
	Autoscaler string `json:"autoscaler"`
	// Asking is how many HPAs ask for it, and Samples how many series there are for the one that is named.
	Asking  int   `json:"-"`
	Samples int64 `json:"-"`
}

// leastWindow, windowScrapes and unknownWindow make the window of rates: rate needs two scrapes in it, and four make up for one that
// fails. unknownWindow is that where it is not known how often apps are scraped.
const (
	leastWindow   = 2 * time.Minute
	windowScrapes = 4
	unknownWindow = 5 * time.Minute
)

// Window is the time over which rates are averaged; the interval of scrapes is 0 where it is not known.
func Window(interval time.Duration) time.Duration {
	if interval <= 0 {
		return unknownWindow
	}
	return max(leastWindow, windowScrapes*interval)
}

// Query is the template of what the backend queries, with the name of the series written out.
func (r Rule) Query(window time.Duration) string {
	return strings.ReplaceAll(r.query(window), seriesField, r.From)
}

const seriesField = "<<.Series>>"

// query is the template. What narrows the series stands behind the matchers of the namespace and the object, which are always there.
func (r Rule) query(window time.Duration) string {
	selector := seriesField + "{" + strings.Join(append([]string{"<<.LabelMatchers>>"}, r.narrowed()...), ",") + "}"
	if r.Rate {
		selector = "rate(" + selector + "[" + model.Duration(window).String() + "])"
	}
	if r.external() {
		return "sum(" + selector + ")"
	}
	return "sum(" + selector + ") by (<<.GroupBy>>)"
}

// narrowed are matchers of the rule's own: without the sandboxes of pods, as the default rules of the adapter's chart have it, and
// without the series of which an app may have set the labels.
func (r Rule) narrowed() []string {
	var matchers []string
	if r.ofContainers() {
		matchers = append(matchers, `container!="POD"`)
	}
	if r.Labels.lookalike() {
		matchers = append(matchers, namespaceLabel+`=""`)
	}
	return matchers
}

func (r Rule) external() bool { return r.API == metricsapi.External.Group }

// shared is what rules of both metrics APIs have.
func (r Rule) shared(window time.Duration) v1alpha1.MetricRule {
	matchers := []string{r.Labels.Namespace + `!=""`}
	if r.Labels.Object != "" {
		matchers = append(matchers, r.Labels.Object+`!=""`)
	}
	rule := v1alpha1.MetricRule{
		ID:           r.ID(),
		SeriesQuery:  r.From + "{" + strings.Join(slices.Concat(matchers, r.narrowed()), ",") + "}",
		MetricsQuery: r.query(window),
	}
	if r.Metric != r.From {
		rule.Name = v1alpha1.MetricName{Matches: "^" + r.From + "$", As: r.Metric}
	}
	return rule
}

// overrides map the label of the namespace, without which no request is answered, and that of the object.
func (r Rule) overrides() map[string]v1alpha1.GroupResource {
	all := map[string]v1alpha1.GroupResource{r.Labels.Namespace: {Resource: "namespaces"}}
	if r.Labels.Object != "" {
		plural, group, _ := strings.Cut(r.Resource, ".")
		all[r.Labels.Object] = v1alpha1.GroupResource{Group: group, Resource: plural}
	}
	return all
}

// Custom is the rule in the form of spec.customMetrics.rules, but for its id.
func (r Rule) Custom(window time.Duration) v1alpha1.CustomMetricRule {
	return v1alpha1.CustomMetricRule{MetricRule: r.shared(window), Resources: v1alpha1.ResourceMapping{Overrides: r.overrides()}}
}

// External is the rule in the form of spec.externalMetrics.rules, but for its id.
func (r Rule) External(window time.Duration) v1alpha1.ExternalMetricRule {
	return v1alpha1.ExternalMetricRule{MetricRule: r.shared(window), Resources: v1alpha1.ExternalResourceMapping{Overrides: r.overrides()}}
}

// Add adds rules to those of a spec, before the stated ones: of two that make one metric the adapter serves the later.
func Add(spec v1alpha1.MetricsPipelineSpec, rules []Rule, window time.Duration) v1alpha1.MetricsPipelineSpec {
	var custom []v1alpha1.CustomMetricRule
	var external []v1alpha1.ExternalMetricRule
	for _, rule := range rules {
		if rule.external() {
			external = append(external, rule.External(window))
		} else {
			custom = append(custom, rule.Custom(window))
		}
	}
	spec.CustomMetrics.Rules = append(custom, spec.CustomMetrics.Rules...)
	spec.ExternalMetrics.Rules = append(external, spec.ExternalMetrics.Rules...)
	return spec
}

// Valid is true for a rule of this grammar: what was stored may have been edited.
func (r Rule) Valid() bool {
	if !metricName.MatchString(r.Metric) || !metricName.MatchString(r.From) {
		return false
	}
	known := []resource{everybody}
	if !r.external() {
		known = nil
		for _, of := range resources {
			known = append(known, of)
		}
	}
	return slices.ContainsFunc(known, func(of resource) bool {
		return of.String() == r.Resource && slices.Contains(of.labels, r.Labels)
	}) && (r.API == metricsapi.External.Group || r.API == metricsapi.CustomV1Beta1.Group)
}
