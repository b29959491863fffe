// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package rules

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql/parser"
	"k8s.io/apimachinery/pkg/api/meta"
	kubelabels "k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime/schema"
	adapter "sigs.k8s.io/prometheus-adapter/pkg/config"
	"sigs.k8s.io/prometheus-adapter/pkg/naming"
)

// sampleNamespace and sampleObject stand for what a HorizontalPodAutoscaler queries, where a query is tried out.
const (
	sampleNamespace = "sample"
	sampleObject    = "sample-0"
)

// UnreachableError is the cluster's, not the rule's: the API server could not be queried for the resources that it serves.
type UnreachableError struct{ Err error }

func (e *UnreachableError) Error() string {
	return "query the API server for the resources that it serves: " + e.Err.Error()
}

// Unwrap returns the API server's error.
func (e *UnreachableError) Unwrap() error { return e.Err }

// UnservedError is that of a rule for a resource that the API server does not serve, or not yet.
type UnservedError struct {
	schema.GroupResource
	// Label of the series that the rule maps to the resource.
	Label string
}

func (e *UnservedError) Error() string {
	return fmt.Sprintf("resources.overrides[%s]: the API server serves no resource %q in group %q; correct the name, or install "+
		"what serves it", e.Label, e.Resource, e.Group)
}

// checkRule returns why the adapter would not run a rule, or would run it and never answer.
func checkRule(rule adapter.DiscoveryRule, external bool, mapper meta.RESTMapper) (err error) {
	defer func() {
		// Templates and regular expressions of users run through other people's code here.
		if panicked := recover(); panicked != nil {
			err = fmt.Errorf("the rule cannot be evaluated: %v", panicked)
		}
	}()
	series, err := checkSeriesQuery(rule.SeriesQuery)
	if err != nil {
		return err
	}
	if err := checkTemplate("metricsQuery", rule.MetricsQuery); err != nil {
		return err
	}
	if err := checkTemplate("resources.template", rule.Resources.Template); err != nil {
		return err
	}
	resources, err := checkResources(rule.Resources, mapper)
	if err != nil {
		return err
	}
	namers, err := naming.NamersFromConfig([]adapter.DiscoveryRule{rule}, mapper)
	if err != nil {
		return err
	}
	if err := checkName(rule.Name); err != nil {
		return err
	}
	if external {
		query, err := namers[0].QueryForExternalSeries(series, sampleNamespace, kubelabels.Everything())
		if err != nil {
			return fmt.Errorf("metricsQuery %q gives no query: %w", rule.MetricsQuery, err)
		}
		return checkQuery(rule.MetricsQuery, string(query), parser.ValueTypeVector, parser.ValueTypeScalar)
	}
	for _, resource := range resources {
		namespace := ""
		if resource.namespaced {
			namespace = sampleNamespace
		}
		query, err := namers[0].QueryForSeries(series, resource.GroupResource, namespace, kubelabels.Everything(), sampleObject)
		if err != nil {
			return fmt.Errorf("metricsQuery %q gives no query for %s (a namespaced resource needs an override for the label "+
				"that names its namespace): %w", rule.MetricsQuery, resource.Resource, err)
		}
		if err := checkQuery(rule.MetricsQuery, string(query), parser.ValueTypeVector); err != nil {
			return err
		}
	}
	return nil
}

// groupReference is how a replacement of package regexp refers to a group; $$ is a dollar.
var groupReference = regexp.MustCompile(`\$(?:\$|([\pL\pN_]+)|\{([\pL\pN_]+)\})`)

// checkName returns why a name comes out empty or too short: a group that does not exist is replaced by nothing. The adapter
// has accepted the expression by then.
func checkName(name adapter.NameMapping) error {
	matches, err := regexp.Compile(name.Matches)
	if err != nil {
		return fmt.Errorf("name.matches %q: %w", name.Matches, err)
	}
	for _, reference := range groupReference.FindAllStringSubmatch(name.As, -1) {
		group := reference[1] + reference[2]
		number, err := strconv.Atoi(group)
		exists := err == nil && number <= matches.NumSubexp() || matches.SubexpIndex(group) >= 0
		if group != "" && !exists {
			return fmt.Errorf("name.as %q: name.matches %q has no group %q; where letters, digits or _ follow a group, write it in "+
				"braces, such as ${1}_per_second", name.As, name.Matches, group)
		}
	}
	return nil
}

// promQL admits what Prometheus takes with a feature flag alone: which flags the source runs with is not known.
var promQL = parser.NewParser(parser.Options{EnableExperimentalFunctions: true, ExperimentalDurationExpr: true,
	EnableExtendedRangeSelectors: true, EnableBinopFillModifiers: true})

// checkSeriesQuery returns the name of a series that the selector selects, and why Prometheus would refuse it. One
// refused selector keeps the adapter from listing any metric.
func checkSeriesQuery(query string) (string, error) {
	expr, err := promQL.ParseExpr(query)
	if err != nil {
		return "", fmt.Errorf("seriesQuery %q is not a series selector: %w", query, err)
	}
	selector, ok := expr.(*parser.VectorSelector)
	if !ok {
		return "", fmt.Errorf("seriesQuery %q is not a series selector but a %s; write only the metric's name and label "+
			"matchers, and put the rest in metricsQuery", query, parser.DocumentedType(expr.Type()))
	}
	if selector.OriginalOffset != 0 || selector.Timestamp != nil || selector.StartOrEnd != 0 {
		return "", fmt.Errorf("seriesQuery %q has an offset or an @ modifier, which a series selector cannot have", query)
	}
	for _, matcher := range selector.LabelMatchers {
		if matcher.Name == model.MetricNameLabel && matcher.Type == labels.MatchEqual {
			return matcher.Value, nil
		}
	}
	return "sample_series", nil
}

// resource is a resource that a label leads to.
type resource struct {
	schema.GroupResource
	namespaced bool
}

// checkResources returns the resources that the overrides name, or pods where only a template does, and why the adapter
// would exit on them.
func checkResources(mapping adapter.ResourceMapping, mapper meta.RESTMapper) ([]resource, error) {
	var found []resource
	for _, label := range slices.Sorted(maps.Keys(mapping.Overrides)) {
		override := mapping.Overrides[label]
		wanted := schema.GroupResource{Group: override.Group, Resource: override.Resource}
		kind, err := mapper.KindFor(wanted.WithVersion(""))
		if meta.IsNoMatchError(err) {
			return nil, &UnservedError{GroupResource: wanted, Label: label}
		}
		if err != nil {
			return nil, &UnreachableError{err}
		}
		mapped, err := mapper.RESTMapping(kind.GroupKind(), kind.Version)
		if err != nil {
			return nil, &UnreachableError{err}
		}
		namespaced := mapped.Scope.Name() == meta.RESTScopeNameNamespace
		found = append(found, resource{GroupResource: mapped.Resource.GroupResource(), namespaced: namespaced})
	}
	// The namespace is not a thing that the metric describes as long as there is another one.
	others := slices.DeleteFunc(slices.Clone(found), func(r resource) bool { return r.GroupResource == naming.NsGroupResource })
	if len(others) > 0 {
		return others, nil
	}
	if len(found) == 0 {
		return []resource{{GroupResource: schema.GroupResource{Resource: "pods"}, namespaced: true}}, nil
	}
	return found, nil
}

// checkQuery returns why Prometheus would refuse a query, or the adapter its answer.
func checkQuery(template, query string, types ...parser.ValueType) error {
	expr, err := promQL.ParseExpr(query)
	if err != nil {
		return fmt.Errorf("metricsQuery %q is not PromQL: it becomes %q: %w", template, query, err)
	}
	if !slices.Contains(types, expr.Type()) {
		return fmt.Errorf("metricsQuery %q gives a %s, and a metric is made of an instant vector; aggregate it, as in "+
			"sum(rate(<<.Series>>{<<.LabelMatchers>>}[2m])) by (<<.GroupBy>>)", template, parser.DocumentedType(expr.Type()))
	}
	return nil
}
