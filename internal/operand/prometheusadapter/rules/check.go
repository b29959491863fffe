// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package rules

import (
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"

	"github.com/prometheus/prometheus/promql/parser"
	"k8s.io/apimachinery/pkg/api/meta"
	kubelabels "k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime/schema"
	adapter "sigs.k8s.io/prometheus-adapter/pkg/config"
	"sigs.k8s.io/prometheus-adapter/pkg/naming"

	"github.com/metricspipeline/operator/api/v1alpha1"
)

// sampleNamespace and sampleObject stand for what a HorizontalPodAutoscaler queries, where a query is tried out.
const (
	sampleNamespace = "sample"
	sampleObject    = "sample-0"
	sampleSeries    = "sample_series"
)

var sampleSelector = kubelabels.SelectorFromSet(kubelabels.Set{"sample": "sample"})

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

// checkRule returns why the adapter would not run a rule, or would run it and never answer. Else it returns what the rule comes to.
func checkRule(
	rule adapter.DiscoveryRule, external bool, mapper meta.RESTMapper, dialect v1alpha1.QueryDialect,
) (*subject, error) {
	selector, err := checkSeries(rule.SeriesQuery, dialect)
	if err != nil {
		return nil, err
	}
	if err := checkTemplate("metricsQuery", rule.MetricsQuery); err != nil {
		return nil, err
	}
	if err := checkTemplate("resources.template", rule.Resources.Template); err != nil {
		return nil, err
	}
	s := &subject{DiscoveryRule: rule, external: external, dialect: dialect, selector: selector, series: sampleSeries}
	if s.names = namesOf(selector); len(s.names) > 0 {
		s.series = s.names[0]
	}
	if s.labels, s.resources, err = checkResources(rule.Resources, mapper); err != nil {
		return nil, err
	}
	if err := s.checkAssociation(); err != nil {
		return nil, err
	}
	namers, err := naming.NamersFromConfig([]adapter.DiscoveryRule{rule}, mapper)
	if err != nil {
		return nil, err
	}
	if err := checkName(rule.Name); err != nil {
		return nil, err
	}
	s.namer = namers[0]
	if external {
		return s, s.queryExternal()
	}
	for _, resource := range s.resources {
		if err := s.queryFor(resource); err != nil {
			return nil, err
		}
	}
	return s, nil
}

var (
	errNoObject = errors.New("resources needs a template or an override, or no label of the series leads to an object: set overrides " +
		"such as {namespace: {resource: namespace}, pod: {resource: pod}}")
	errNoNamespace = errors.New("an external metric is requested in a namespace: set resources.overrides to the label that names it, " +
		"such as {namespace: {resource: namespace}}, or resources.namespaced: false if the series belong to no namespace")
)

// checkAssociation returns why nothing leads from the series to an object, or to a namespace. The schema does not say it: the API server
// would refuse all rules for the one.
func (s *subject) checkAssociation() error {
	if s.Resources.Template != "" {
		return nil
	}
	named := slices.Contains(slices.Collect(maps.Values(s.labels)), naming.NsGroupResource)
	switch {
	case s.external && s.namespaced() && !named:
		return errNoNamespace
	case !s.external && len(s.labels) == 0:
		return errNoObject
	}
	return nil
}

// queryFor checks the query for objects of a resource.
func (s *subject) queryFor(resource resource) error {
	namespace := ""
	if resource.namespaced {
		namespace = sampleNamespace
	}
	text, err := s.namer.QueryForSeries(s.series, resource.GroupResource, namespace, kubelabels.Everything(), sampleObject)
	if err != nil {
		return fmt.Errorf("metricsQuery %q gives no query for %s (a namespaced resource needs an override for the label "+
			"that names its namespace): %w", s.MetricsQuery, resource.Resource, err)
	}
	expr, err := s.checkQuery(string(text), parser.ValueTypeVector)
	s.queries = append(s.queries, query{resource: resource, text: string(text), expr: expr})
	return err
}

// queryExternal checks the query for a metric that belongs to no object. Without a namespace and a selector, <<.LabelMatchers>> is
// empty, and a comma before the next matcher is no PromQL: such a rule serves what gives a selector.
func (s *subject) queryExternal() error {
	text, err := s.namer.QueryForExternalSeries(s.series, sampleNamespace, kubelabels.Everything())
	if err != nil {
		return fmt.Errorf("metricsQuery %q gives no query: %w", s.MetricsQuery, err)
	}
	types := []parser.ValueType{parser.ValueTypeVector, parser.ValueTypeScalar}
	expr, refused := s.checkQuery(string(text), types...)
	if refused != nil {
		selected, err := s.namer.QueryForExternalSeries(s.series, sampleNamespace, sampleSelector)
		if err != nil {
			return refused
		}
		if expr, err = s.checkQuery(string(selected), types...); err != nil {
			return refused
		}
		s.note = fmt.Sprintf("for a HorizontalPodAutoscaler without a selector, metricsQuery becomes %q, which is not PromQL; write "+
			"<<.LabelMatchers>> last in the braces, as in {job=\"web\",<<.LabelMatchers>>}, to serve those as well", brief(string(text)))
		text = selected
	}
	s.queries = []query{{text: string(text), expr: expr}}
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

// checkSeriesQuery returns a selector, and why Prometheus would refuse it. One refused selector keeps the adapter from listing any
// metric.
func checkSeriesQuery(query string) (*parser.VectorSelector, error) {
	expr, err := promQL.ParseExpr(query)
	if err != nil {
		return nil, fmt.Errorf("seriesQuery %q is not a series selector: %w", query, err)
	}
	selector, ok := expr.(*parser.VectorSelector)
	if !ok {
		return nil, fmt.Errorf("seriesQuery %q is not a series selector but a %s; write only the metric's name and label "+
			"matchers, and put the rest in metricsQuery", query, parser.DocumentedType(expr.Type()))
	}
	if selector.OriginalOffset != 0 || selector.Timestamp != nil || selector.StartOrEnd != 0 {
		return nil, fmt.Errorf("seriesQuery %q has an offset or an @ modifier, which a series selector cannot have", query)
	}
	return selector, nil
}

// resource is a resource that a label leads to.
type resource struct {
	schema.GroupResource
	namespaced bool
}

// checkResources returns the resource that each override names, and those that the metric describes, pods where only a template
// says so; and why the adapter would exit on them.
func checkResources(mapping adapter.ResourceMapping, mapper meta.RESTMapper) (map[string]schema.GroupResource, []resource, error) {
	var found []resource
	byLabel := map[string]schema.GroupResource{}
	for _, label := range slices.Sorted(maps.Keys(mapping.Overrides)) {
		override := mapping.Overrides[label]
		wanted := schema.GroupResource{Group: override.Group, Resource: override.Resource}
		kind, err := mapper.KindFor(wanted.WithVersion(""))
		if meta.IsNoMatchError(err) {
			return nil, nil, &UnservedError{GroupResource: wanted, Label: label}
		}
		if err != nil {
			return nil, nil, &UnreachableError{err}
		}
		mapped, err := mapper.RESTMapping(kind.GroupKind(), kind.Version)
		if err != nil {
			return nil, nil, &UnreachableError{err}
		}
		namespaced := mapped.Scope.Name() == meta.RESTScopeNameNamespace
		byLabel[label] = mapped.Resource.GroupResource()
		found = append(found, resource{GroupResource: mapped.Resource.GroupResource(), namespaced: namespaced})
	}
	// The namespace is not a thing that the metric describes as long as there is another one.
	others := slices.DeleteFunc(slices.Clone(found), func(r resource) bool { return r.GroupResource == naming.NsGroupResource })
	if len(others) > 0 {
		return byLabel, others, nil
	}
	if len(found) == 0 {
		return byLabel, []resource{{GroupResource: schema.GroupResource{Resource: "pods"}, namespaced: true}}, nil
	}
	return byLabel, found, nil
}

// checkQuery returns a query, nil where it is in another dialect than PromQL, and why Prometheus would refuse it, or the adapter its
// answer.
func (s *subject) checkQuery(query string, types ...parser.ValueType) (parser.Expr, error) {
	if s.dialect == v1alpha1.DialectMetricsQL {
		return nil, nil //nolint:nilnil // its store alone knows what it accepts
	}
	expr, err := promQL.ParseExpr(query)
	if err != nil {
		return nil, fmt.Errorf("metricsQuery %q is not PromQL: it becomes %q: %w", s.MetricsQuery, query, err)
	}
	if !slices.Contains(types, expr.Type()) {
		return nil, fmt.Errorf("metricsQuery %q gives a %s, and a metric is made of an instant vector; aggregate it, as in "+
			"sum(rate(<<.Series>>{<<.LabelMatchers>>}[2m])) by (<<.GroupBy>>)", s.MetricsQuery, parser.DocumentedType(expr.Type()))
	}
	return expr, nil
}
