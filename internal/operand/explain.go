// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package operand

import (
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/metricspipeline/operator/api/v1alpha1"
)

// Explainer is an operand that makes metrics by rules, and can say which of them make the metric that a HorizontalPodAutoscaler requests.
type Explainer interface {
	// Explain returns the rules that make a metric of the requested name. The one that would serve it, if each had series, is the
	// first. The error is the cluster's, or that of Explaining.Names.
	Explain([]MetricRule, MetricRequest, Explaining) ([]Explained, error)
}

// Explaining is what rules are explained by.
type Explaining struct {
	// Mapper knows the resources that the API server serves.
	Mapper meta.RESTMapper
	// Dialect of the queries.
	Dialect v1alpha1.QueryDialect
	// Names returns the names of series of a selector, of one namespace where a label of the series names it. It is called where the
	// name of a metric alone does not say which series a rule makes it of.
	Names func(selector, namespaceLabel string) ([]string, error)
}

// MetricRule is a rule for custom or external metrics: one of Custom and External is set.
type MetricRule struct {
	// Origin is where it comes from, as in status.rules.
	Origin   string
	Custom   *v1alpha1.CustomMetricRule
	External *v1alpha1.ExternalMetricRule
}

// RulesOf returns the rules of a spec, in their order.
func RulesOf(spec v1alpha1.MetricsPipelineSpec, origin string) []MetricRule {
	var all []MetricRule
	for i := range spec.CustomMetrics.Rules {
		all = append(all, MetricRule{Origin: origin, Custom: &spec.CustomMetrics.Rules[i]})
	}
	for i := range spec.ExternalMetrics.Rules {
		all = append(all, MetricRule{Origin: origin, External: &spec.ExternalMetrics.Rules[i]})
	}
	return all
}

// MetricRequest is a metric as a HorizontalPodAutoscaler requests it.
type MetricRequest struct {
	// API is the group of the metrics API, and Name that of the metric.
	API, Name string
	// Namespace of the HorizontalPodAutoscaler.
	Namespace string
	// Selector of the metric; nil for everything.
	Selector labels.Selector
	// Resource and names of the objects that the metric describes; none of an external metric.
	Resource schema.GroupResource
	Objects  []string
}

// Explained is a rule that makes a metric of a requested name.
type Explained struct {
	ID, Origin string
	// SeriesQuery selects the series that the rule makes the metric of, in all namespaces; empty where that is not known to be PromQL.
	SeriesQuery string
	// NamespaceLabel and ObjectLabel are the labels of the series that name the namespace and the object. Without the former the rule
	// says that its series belong to no namespace.
	NamespaceLabel, ObjectLabel string
	// ByQuery is true where the query finds the object by another label, such as one with both names. Both labels are empty then.
	ByQuery bool
	// Query is what is sent for the request; empty where nothing is.
	Query string
	// Problem is why the rule does not serve the request; empty where it does.
	Problem string
}
