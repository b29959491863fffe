// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package prometheusadapter

import (
	"fmt"
	"slices"

	"github.com/metricspipeline/operator/api/v1alpha1"
	"github.com/metricspipeline/operator/internal/metricsapi"
	"github.com/metricspipeline/operator/internal/operand"
	"github.com/metricspipeline/operator/internal/operand/prometheusadapter/rules"
)

var _ operand.Explainer = (*Operand)(nil)

// Explain implements operand.Explainer. Of two rules that make one metric the adapter serves the later one.
func (*Operand) Explain(all []operand.MetricRule, asked operand.MetricRequest, by operand.Explaining) ([]operand.Explained, error) {
	request := rules.Request{API: asked.API, Name: asked.Name, Namespace: asked.Namespace, Selector: asked.Selector,
		Resource: asked.Resource, Objects: asked.Objects}
	var explained []operand.Explained
	for _, stated := range slices.Backward(all) {
		rule := ruleOf(stated)
		made, err := rule.Make(request, by.Mapper, by.Dialect, by.Names)
		if err != nil {
			return nil, fmt.Errorf("rule %s of %s: %w", rule.ID, metricsapi.Field(rule.API), err)
		}
		if made != nil {
			explained = append(explained, operand.Explained{ID: rule.ID, Origin: stated.Origin, SeriesQuery: made.SeriesQuery,
				NamespaceLabel: made.NamespaceLabel, ObjectLabel: made.ObjectLabel, ByQuery: made.ByQuery,
				Query: made.Query, Problem: made.Problem})
		}
	}
	return explained, nil
}

func ruleOf(stated operand.MetricRule) rules.Rule {
	var spec v1alpha1.MetricsPipelineSpec
	if stated.Custom != nil {
		spec.CustomMetrics.Rules = []v1alpha1.CustomMetricRule{*stated.Custom}
	} else {
		spec.ExternalMetrics.Rules = []v1alpha1.ExternalMetricRule{*stated.External}
	}
	return rules.Of(spec)[0]
}
