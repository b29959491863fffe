// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

// Package rules checks rules for custom and external metrics with the code that will run them, prometheus-adapter's own
// packages and Prometheus' PromQL parser, and writes usable ones as the adapter's configuration. The adapter exits on one bad
// rule and stops listing metrics on one bad selector, so no unchecked rule may reach it.
package rules

import (
	"fmt"

	"k8s.io/apimachinery/pkg/api/meta"
	adapter "sigs.k8s.io/prometheus-adapter/pkg/config"
	"sigs.k8s.io/yaml"

	"github.com/metricspipeline/operator/api/v1alpha1"
	"github.com/metricspipeline/operator/internal/metricsapi"
)

// ConfigFile is the name of the adapter's configuration.
const ConfigFile = "config.yaml"

// Rule is a rule of a metrics API, in the adapter's own form.
type Rule struct {
	// API is the group of the metrics API, and ID names the rule in it.
	API string `json:"api"`
	ID  string `json:"id"`
	// Discovery is the rule.
	Discovery adapter.DiscoveryRule `json:"discovery"`
}

// Of returns the rules of a spec, in their order.
func Of(spec v1alpha1.MetricsPipelineSpec) []Rule {
	var all []Rule
	for _, rule := range spec.CustomMetrics.Rules {
		all = append(all, Rule{metricsapi.CustomV1Beta1.Group, rule.ID, custom(rule)})
	}
	for _, rule := range spec.ExternalMetrics.Rules {
		all = append(all, Rule{metricsapi.External.Group, rule.ID, external(rule)})
	}
	return all
}

// Check returns why the adapter would not run a rule, or would run it and never answer, and else what is known of the rule. The
// mapper says which resources the cluster serves; a rule that maps a label to a resource that is not served would make the adapter
// exit, and is an UnservedError. An UnreachableError is the cluster's: it could not be queried. Queries in another dialect than PromQL
// are not parsed: their store alone knows what it accepts.
func (r Rule) Check(mapper meta.RESTMapper, dialect v1alpha1.QueryDialect) (found Findings, err error) {
	defer func() {
		// Templates and regular expressions of users run through other people's code here.
		if panicked := recover(); panicked != nil {
			err = fmt.Errorf("the rule cannot be evaluated: %v", panicked)
		}
	}()
	s, err := checkRule(r.Discovery, r.API == metricsapi.External.Group, mapper, dialect)
	if err != nil {
		return Findings{}, err
	}
	return findings(s), nil
}

// Config writes rules as the adapter's configuration.
func Config(all []Rule) (string, error) {
	var config adapter.MetricsDiscoveryConfig
	for _, rule := range all {
		if rule.API == metricsapi.External.Group {
			config.ExternalRules = append(config.ExternalRules, rule.Discovery)
		} else {
			config.Rules = append(config.Rules, rule.Discovery)
		}
	}
	content, err := yaml.Marshal(config)
	if err != nil {
		return "", fmt.Errorf("write the adapter's configuration: %w", err)
	}
	return string(content), nil
}

func custom(rule v1alpha1.CustomMetricRule) adapter.DiscoveryRule {
	discovery := shared(rule.MetricRule)
	discovery.Resources = adapter.ResourceMapping{
		Template:  rule.Resources.Template,
		Overrides: overrides(rule.Resources.Overrides),
	}
	return discovery
}

func external(rule v1alpha1.ExternalMetricRule) adapter.DiscoveryRule {
	discovery := shared(rule.MetricRule)
	discovery.Resources = adapter.ResourceMapping{
		Template:   rule.Resources.Template,
		Overrides:  overrides(rule.Resources.Overrides),
		Namespaced: rule.Resources.Namespaced,
	}
	return discovery
}

func shared(rule v1alpha1.MetricRule) adapter.DiscoveryRule {
	discovery := adapter.DiscoveryRule{
		SeriesQuery:  rule.SeriesQuery,
		Name:         adapter.NameMapping{Matches: rule.Name.Matches, As: rule.Name.As},
		MetricsQuery: rule.MetricsQuery,
	}
	for _, filter := range rule.SeriesFilters {
		discovery.SeriesFilters = append(discovery.SeriesFilters, adapter.RegexFilter{Is: filter.Is, IsNot: filter.IsNot})
	}
	return discovery
}

func overrides(from map[string]v1alpha1.GroupResource) map[string]adapter.GroupResource {
	if len(from) == 0 {
		return nil
	}
	to := make(map[string]adapter.GroupResource, len(from))
	for label, resource := range from {
		to[label] = adapter.GroupResource{Group: resource.Group, Resource: resource.Resource}
	}
	return to
}
