// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package rules

import (
	"errors"
	"testing"

	"k8s.io/apimachinery/pkg/api/meta"
	adapter "sigs.k8s.io/prometheus-adapter/pkg/config"
	"sigs.k8s.io/prometheus-adapter/pkg/naming"

	"github.com/metricspipeline/operator/api/v1alpha1"
	"github.com/metricspipeline/operator/internal/operand/operandtest"
)

// loads fails the test if the adapter would not start with the configuration of rules.
func loads(t *testing.T, accepted []Rule, mapper meta.RESTMapper) *adapter.MetricsDiscoveryConfig {
	t.Helper()
	content, err := Config(accepted)
	if err != nil {
		t.Fatal(err)
	}
	config, err := adapter.FromYAML([]byte(content))
	if err != nil {
		t.Fatalf("the adapter does not read its configuration: %v\n%s", err, content)
	}
	if len(config.Rules)+len(config.ExternalRules) != len(accepted) {
		t.Errorf("%d custom and %d external rules are written, %d were accepted",
			len(config.Rules), len(config.ExternalRules), len(accepted))
	}
	for _, rules := range [][]adapter.DiscoveryRule{config.Rules, config.ExternalRules} {
		if _, err := naming.NamersFromConfig(rules, mapper); err != nil {
			t.Fatalf("the adapter exits on its configuration: %v\n%s", err, content)
		}
	}
	return config
}

// check runs the only rule of a spec and returns why it was rejected; empty if it was accepted. What is accepted must load.
func check(t *testing.T, spec v1alpha1.MetricsPipelineSpec) string {
	t.Helper()
	all := Of(spec)
	if len(all) != 1 {
		t.Fatalf("one rule became %+v", all)
	}
	mapper := operandtest.Mapper()
	_, err := all[0].Check(mapper, v1alpha1.DialectPromQL)
	var unreachable *UnreachableError
	if errors.As(err, &unreachable) {
		t.Fatal(err)
	}
	if err != nil {
		return err.Error()
	}
	loads(t, all, mapper)
	return ""
}

func customSpec(rules ...v1alpha1.CustomMetricRule) v1alpha1.MetricsPipelineSpec {
	return v1alpha1.MetricsPipelineSpec{CustomMetrics: v1alpha1.CustomMetricsSpec{Rules: rules}}
}

func externalSpec(rules ...v1alpha1.ExternalMetricRule) v1alpha1.MetricsPipelineSpec {
	return v1alpha1.MetricsPipelineSpec{ExternalMetrics: v1alpha1.ExternalMetricsSpec{Rules: rules}}
}

// requests is a rule that works: requests per second of a pod.
func requests(changes ...func(*v1alpha1.CustomMetricRule)) v1alpha1.CustomMetricRule {
	rule := v1alpha1.CustomMetricRule{
		MetricRule: v1alpha1.MetricRule{
			SeriesQuery:  `http_requests_total{namespace!="",pod!=""}`,
			Name:         v1alpha1.MetricName{Matches: "^(.*)_total$", As: "${1}_per_second"},
			MetricsQuery: `sum(rate(<<.Series>>{<<.LabelMatchers>>}[2m])) by (<<.GroupBy>>)`,
		},
		Resources: v1alpha1.ResourceMapping{Overrides: map[string]v1alpha1.GroupResource{
			"namespace": {Resource: "namespace"}, "pod": {Resource: "pod"}}},
	}
	for _, change := range changes {
		change(&rule)
	}
	return rule
}

// depth is an external rule that works: the length of a queue.
func depth(changes ...func(*v1alpha1.ExternalMetricRule)) v1alpha1.ExternalMetricRule {
	rule := v1alpha1.ExternalMetricRule{
		MetricRule: v1alpha1.MetricRule{
			SeriesQuery:  `queue_depth{namespace!=""}`,
			MetricsQuery: `sum(<<.Series>>{<<.LabelMatchers>>}) by (queue)`,
		},
		Resources: v1alpha1.ExternalResourceMapping{Overrides: map[string]v1alpha1.GroupResource{"namespace": {Resource: "namespace"}}},
	}
	for _, change := range changes {
		change(&rule)
	}
	return rule
}

// overriding replaces the overrides of a rule.
func overriding(labels map[string]v1alpha1.GroupResource) func(*v1alpha1.CustomMetricRule) {
	return func(r *v1alpha1.CustomMetricRule) { r.Resources.Overrides = labels }
}

// leading has one label lead to a resource.
func leading(label, group, resource string) func(*v1alpha1.CustomMetricRule) {
	return overriding(map[string]v1alpha1.GroupResource{label: {Group: group, Resource: resource}})
}

func querying(query string) func(*v1alpha1.CustomMetricRule) {
	return func(r *v1alpha1.CustomMetricRule) { r.MetricsQuery = query }
}

func selecting(query string) func(*v1alpha1.CustomMetricRule) {
	return func(r *v1alpha1.CustomMetricRule) { r.SeriesQuery = query }
}

func named(matches, as string) func(*v1alpha1.CustomMetricRule) {
	return func(r *v1alpha1.CustomMetricRule) { r.Name = v1alpha1.MetricName{Matches: matches, As: as} }
}

// templating uses a template alone.
func templating(template string) func(*v1alpha1.CustomMetricRule) {
	return func(r *v1alpha1.CustomMetricRule) { r.Resources = v1alpha1.ResourceMapping{Template: template} }
}

func filtering(filters ...v1alpha1.SeriesFilter) func(*v1alpha1.CustomMetricRule) {
	return func(r *v1alpha1.CustomMetricRule) { r.SeriesFilters = filters }
}
