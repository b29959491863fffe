// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

// Package rules checks rules for custom and external metrics with the code that will run them, prometheus-adapter's own
// packages and Prometheus' PromQL parser, and writes the accepted ones as the adapter's configuration. The adapter exits
// on one bad rule and stops listing metrics on one bad selector, so no unchecked rule may reach it.
package rules

import (
	"fmt"

	"k8s.io/apimachinery/pkg/api/meta"
	adapter "sigs.k8s.io/prometheus-adapter/pkg/config"
	"sigs.k8s.io/yaml"

	"github.com/metricspipeline/operator/api/v1alpha1"
	"github.com/metricspipeline/operator/internal/component"
)

// Result is what became of a spec's rules.
type Result struct {
	// Accepted are the rules that the adapter will run.
	Accepted component.Rules
	// Rejected are the rules that were left out, in the order of the spec.
	Rejected []v1alpha1.RuleStatus
	// InUse are the others, in the order of the spec.
	InUse []v1alpha1.RuleStatus
}

// Check sorts a spec's rules into accepted and rejected ones. The mapper says which resources the cluster serves; a rule
// that maps a label to a resource that is not served would make the adapter exit.
//
// An error means that the cluster could not be asked, not that a rule is bad.
func Check(spec v1alpha1.MetricsPipelineSpec, mapper meta.RESTMapper) (Result, error) {
	var result Result
	var config adapter.MetricsDiscoveryConfig

	check := func(api component.API, id string, rule adapter.DiscoveryRule) (bool, error) {
		status := v1alpha1.RuleStatus{ID: id, API: api.Group, State: v1alpha1.RuleInUse}
		err := checkRule(rule, api == component.ExternalMetricsBeta, mapper)
		if err == nil {
			result.InUse = append(result.InUse, status)
			return true, nil
		}
		if err := unavailable(err); err != nil {
			return false, fmt.Errorf("rule %s for %s: ask the API server for the resources that it serves: %w", id, api.Group, err)
		}
		status.State, status.Message = v1alpha1.RuleRejected, err.Error()
		result.Rejected = append(result.Rejected, status)
		return false, nil
	}

	for _, rule := range spec.CustomMetrics.Rules {
		discovery := custom(rule)
		ok, err := check(component.CustomMetricsBeta2, rule.ID, discovery)
		if err != nil {
			return Result{}, err
		}
		if ok {
			config.Rules = append(config.Rules, discovery)
		}
	}
	for _, rule := range spec.ExternalMetrics.Rules {
		discovery := external(rule)
		ok, err := check(component.ExternalMetricsBeta, rule.ID, discovery)
		if err != nil {
			return Result{}, err
		}
		if ok {
			config.ExternalRules = append(config.ExternalRules, discovery)
		}
	}

	content, err := yaml.Marshal(config)
	if err != nil {
		return Result{}, fmt.Errorf("write the adapter's configuration: %w", err)
	}
	result.Accepted = component.Rules{Custom: len(config.Rules), External: len(config.ExternalRules), Config: string(content)}
	return result, nil
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
