// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package rules

import (
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql/parser"
	"k8s.io/apimachinery/pkg/api/meta"
	kubelabels "k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/prometheus-adapter/pkg/client"
	adapter "sigs.k8s.io/prometheus-adapter/pkg/config"
	"sigs.k8s.io/prometheus-adapter/pkg/naming"

	"github.com/metricspipeline/operator/api/v1alpha1"
	"github.com/metricspipeline/operator/internal/metricsapi"
)

// Request is a metric as a HorizontalPodAutoscaler requests it.
type Request struct {
	// API is the group of the metrics API, and Name that of the metric.
	API, Name string
	// Namespace of the HorizontalPodAutoscaler, and the metric's Selector.
	Namespace string
	Selector  kubelabels.Selector
	// Resource and names of the objects that the metric describes; none of an external metric.
	Resource schema.GroupResource
	Objects  []string
}

// NamesOf returns the names of series of a selector that are in a namespace by a label.
type NamesOf func(selector, namespaceLabel string) ([]string, error)

// Made is how a rule makes a requested metric.
type Made struct {
	// Series is the name of the series, and SeriesQuery selects those of the rule that have it.
	Series, SeriesQuery string
	// NamespaceLabel and ObjectLabel of the series name the namespace and the object; empty for none.
	NamespaceLabel, ObjectLabel string
	// ByQuery is true where the query finds the object by another label of the series, which has its namespace too: then the labels above
	// say nothing, and are empty.
	ByQuery bool
	// Query is what the adapter sends for the request; empty where it sends none.
	Query string
	// Problem is why the rule does not serve the request although it makes a metric of the name; empty where it does.
	Problem string
}

// Make returns how a rule makes a requested metric; nil where it makes none of the name. Which series a rule whose selector has no
// name makes it of follows from name.matches and name.as as a rule; where it does not, names is called. The error is the cluster's, or
// that of names.
//
// The adapter asks Prometheus for all series of seriesQuery and names each. Doing the same here would read the series of every
// namespace.
func (r Rule) Make(request Request, mapper meta.RESTMapper, dialect v1alpha1.QueryDialect, names NamesOf) (made *Made, err error) {
	defer func() {
		// Templates and regular expressions of users run through other people's code here.
		if panicked := recover(); panicked != nil {
			made, err = nil, nil
		}
	}()
	if r.API != request.API {
		return nil, nil //nolint:nilnil // it makes none
	}
	naming, err := r.namer(mapper)
	if err != nil {
		return nil, nil //nolint:nilnil // the rule is rejected, and its names are not known
	}
	naming.selector, _ = checkSeries(r.Discovery.SeriesQuery, dialect)
	if !naming.inverse.could(request.Name) {
		return nil, nil //nolint:nilnil // it makes none
	}
	checked, cause := checkRule(r.Discovery, r.API == metricsapi.External.Group, mapper, dialect)
	var unreachable *UnreachableError
	if errors.As(cause, &unreachable) {
		return nil, cause
	}
	label := ""
	if cause == nil && checked.restrictedByNamespace() {
		label = checked.label(namespaces)
	}
	series, err := naming.series(request.Name, func(selector string) ([]string, error) { return names(selector, label) })
	if err != nil || series == "" {
		return nil, err
	}
	made = &Made{Series: series, SeriesQuery: naming.selectorOf(series), NamespaceLabel: label}
	if cause != nil {
		made.Problem = cause.Error()
		return made, nil
	}
	checked.answer(request, made)
	if made.Problem == "" && checked.findsByQuery() {
		made.ByQuery, made.NamespaceLabel, made.ObjectLabel = true, "", ""
	}
	return made, nil
}

// findsByQuery is true where no selector of the rule's series demands the namespace of the request by its label, and the query depends on
// the request all the same: both names are in one label, say.
func (s *subject) findsByQuery() bool {
	about, namespace := s.about(), s.label(namespaces)
	return !s.external && len(about) > 0 && !s.ignoresRequest() && slices.ContainsFunc(s.resources, isNamespaced) &&
		!slices.ContainsFunc(about, func(selector *parser.VectorSelector) bool {
			return slices.Contains(equalTo(selector, func(value string) bool { return value == sampleNamespace }), namespace)
		})
}

func isNamespaced(r resource) bool { return r.namespaced }

// namespaces is the resource of namespaces.
var namespaces = naming.NsGroupResource

// restrictedByNamespace is true where the adapter restricts queries to the namespace of the request.
func (s *subject) restrictedByNamespace() bool { return !s.external || s.namespaced() }

// answer fills in what the adapter would send.
func (s *subject) answer(request Request, made *Made) {
	selector := request.Selector
	if selector == nil {
		selector = kubelabels.Everything()
	}
	var text client.Selector
	var err error
	if s.external {
		text, err = s.namer.QueryForExternalSeries(made.Series, request.Namespace, selector)
	} else {
		if !s.describes(request.Resource) {
			made.Problem = fmt.Sprintf("it makes the metric of %s, and the HorizontalPodAutoscaler requests it of %s",
				s.described(), request.Resource)
			return
		}
		made.ObjectLabel = s.label(request.Resource)
		namespace := request.Namespace
		if request.Resource == namespaces {
			namespace = "" // The object names it.
		}
		text, err = s.namer.QueryForSeries(made.Series, request.Resource, namespace, selector, request.Objects...)
	}
	if err != nil {
		made.Problem = fmt.Sprintf("its metricsQuery gives no query for the selector %q: %v", selector, err)
		return
	}
	made.Query = string(text)
	if s.dialect == v1alpha1.DialectMetricsQL {
		return
	}
	if _, err := promQL.ParseExpr(made.Query); err != nil {
		made.Problem = fmt.Sprintf("for the selector %q its metricsQuery becomes %q, which is not PromQL: %v", selector,
			brief(made.Query), err)
		made.Query = ""
	}
}

// describes is true where the adapter makes the metric of a resource. By a template it does of each whose label the series have.
func (s *subject) describes(wanted schema.GroupResource) bool {
	return s.Resources.Template != "" && s.label(wanted) != "" || slices.Contains(slices.Collect(maps.Values(s.labels)), wanted)
}

// described names the resources that the metric is made of.
func (s *subject) described() string {
	var all []string
	for _, resource := range s.resources {
		all = append(all, resource.String())
	}
	return strings.Join(all, ", ")
}

// nameMaker gives names to series as the adapter does.
type nameMaker struct {
	naming.MetricNamer
	inverse  inverse
	selector *parser.VectorSelector
	rule     adapter.DiscoveryRule
}

// namer returns what names the series of a rule, even of one whose other fields are rejected.
func (r Rule) namer(mapper meta.RESTMapper) (*nameMaker, error) {
	inverse, err := inverseOf(r.Discovery.Name)
	if err != nil {
		return nil, err
	}
	onlyNames := adapter.DiscoveryRule{SeriesQuery: r.Discovery.SeriesQuery, SeriesFilters: r.Discovery.SeriesFilters,
		Name: r.Discovery.Name, MetricsQuery: sampleSeries, Resources: adapter.ResourceMapping{Template: "<<.Resource>>"}}
	namers, err := naming.NamersFromConfig([]adapter.DiscoveryRule{onlyNames}, mapper)
	if err != nil {
		return nil, err //nolint:wrapcheck // as above
	}
	return &nameMaker{MetricNamer: namers[0], inverse: inverse, rule: r.Discovery}, nil
}

// series returns the name of the series that become a metric of a name; empty for none. Of several it prefers one that there is.
func (n *nameMaker) series(metric string, names func(selector string) ([]string, error)) (string, error) {
	candidates := namesOf(n.selector)
	known := len(candidates) > 0
	if !known {
		candidates = n.inverse.names(metric)
	}
	fitting := n.fitting(metric, candidates)
	if len(fitting) == 1 || len(fitting) == 0 && known || n.selector == nil {
		return firstOf(fitting), nil
	}
	selector := slices.DeleteFunc(slices.Clone(n.selector.LabelMatchers), func(m *labels.Matcher) bool {
		return len(fitting) > 0 && m.Name == model.MetricNameLabel
	})
	if len(fitting) > 0 {
		selector = append(selector, labels.MustNewMatcher(labels.MatchRegexp, model.MetricNameLabel, alternatives(fitting)))
	} else {
		selector = append(selector, (&subject{DiscoveryRule: n.rule, selector: n.selector}).filters()...)
	}
	if !selects(selector) {
		return firstOf(fitting), nil // The names of all series are too many.
	}
	found, err := names(selectorOf(selector))
	if err != nil {
		return "", err
	}
	if exist := n.fitting(metric, found); len(exist) > 0 {
		return exist[0], nil
	}
	return firstOf(fitting), nil
}

// alternatives matches exactly the names.
func alternatives(names []string) string {
	var quoted []string
	for _, name := range names {
		quoted = append(quoted, regexp.QuoteMeta(name))
	}
	return strings.Join(quoted, "|")
}

func firstOf(names []string) string {
	if len(names) == 0 {
		return ""
	}
	return names[0]
}

// fitting returns those of the names that the rule makes the metric of, in their order.
func (n *nameMaker) fitting(metric string, names []string) []string {
	var fit []string
	var all []client.Series
	for _, name := range names {
		all = append(all, seriesOf(name))
	}
	for _, series := range n.FilterSeries(all) {
		made, err := n.MetricNameForSeries(series)
		selected := n.selector == nil || !slices.ContainsFunc(n.selector.LabelMatchers, func(m *labels.Matcher) bool {
			return m.Name == model.MetricNameLabel && !m.Matches(series.Name)
		})
		if err == nil && made == metric && selected && series.Name != "" && !slices.Contains(fit, series.Name) {
			fit = append(fit, series.Name)
		}
	}
	return fit
}

// selectorOf selects the series of a name among those of the rule; empty where the rule's selector is not known to be PromQL.
func (n *nameMaker) selectorOf(series string) string {
	if n.selector == nil {
		return ""
	}
	matchers, legacy := []*labels.Matcher{}, model.LegacyValidation.IsValidMetricName(series)
	if !legacy {
		matchers = append(matchers, &labels.Matcher{Type: labels.MatchEqual, Name: model.MetricNameLabel, Value: series})
	}
	for _, matcher := range n.selector.LabelMatchers {
		if matcher.Name != model.MetricNameLabel {
			matchers = append(matchers, matcher)
		}
	}
	switch {
	case !legacy:
		return selectorOf(matchers)
	case len(matchers) == 0:
		return series
	}
	return series + selectorOf(matchers)
}
