// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"context"
	"time"

	autoscalingv2 "k8s.io/api/autoscaling/v2"

	"github.com/metricspipeline/operator/api/v1alpha1"
	"github.com/metricspipeline/operator/internal/derive"
	"github.com/metricspipeline/operator/internal/diagnose"
	"github.com/metricspipeline/operator/internal/diagnose/collect"
	"github.com/metricspipeline/operator/internal/metricsapi"
	"github.com/metricspipeline/operator/internal/operand"
	"github.com/metricspipeline/operator/internal/prometheus"
)

// derivation knows which rules the operator derives: what the status says, and of metrics that it has no room for what Prometheus says
// now.
type derivation struct {
	pipeline *v1alpha1.MetricsPipeline
	// client is nil where Prometheus cannot be asked.
	client *prometheus.Client
}

// rules returns the derived rules, as far as an HPA can be concerned.
func (d derivation) rules(ctx context.Context, hpa *autoscalingv2.HorizontalPodAutoscaler) []operand.MetricRule {
	if d.pipeline == nil {
		return nil
	}
	var all []operand.MetricRule
	listed, seen := 0, map[derive.Key]bool{}
	window := derive.Window(0)
	for _, status := range d.pipeline.Status.Rules {
		if status.Origin == v1alpha1.RuleDerived {
			listed++
		}
		if rule, average, known := derive.Restore(status); known {
			seen[rule.Key] = true
			if rule.Rate {
				window = average
			}
			all = append(all, ruleOf(rule, average))
		}
	}
	if int(d.pipeline.Status.RulesTotal.Derived) <= listed {
		return all
	}
	for _, spec := range hpa.Spec.Metrics {
		asked, ok := derive.AskOf(hpa, spec)
		key, known := derive.KeyOf(asked)
		if !ok || !known || seen[key] {
			continue
		}
		if judged := d.judge(ctx, asked); judged.Known && judged.Problem == nil && len(judged.Found) == 1 {
			all = append(all, ruleOf(derive.Rule{Key: key, Candidate: judged.Found[0].Candidate}, window))
		}
	}
	return all
}

// ruleOf is a derived rule as the operand takes it.
func ruleOf(rule derive.Rule, window time.Duration) operand.MetricRule {
	of := operand.MetricRule{Origin: string(v1alpha1.RuleDerived)}
	if rule.API == metricsapi.External.Group {
		external := rule.External(window)
		of.External = &external
	} else {
		custom := rule.Custom(window)
		of.Custom = &custom
	}
	return of
}

// candidates implements collect.Sources.Candidates.
func (d derivation) candidates(
	ctx context.Context, hpa *autoscalingv2.HorizontalPodAutoscaler, request operand.MetricRequest,
) collect.Candidates {
	if d.pipeline == nil || !metricsapi.Derives(d.pipeline.Spec, request.API) {
		return collect.Candidates{}
	}
	for _, spec := range hpa.Spec.Metrics {
		asked, ok := derive.AskOf(hpa, spec)
		if key, _ := derive.KeyOf(asked); !ok || key.API != request.API || asked.Name != request.Name {
			continue
		}
		var result collect.Candidates
		judged := d.judge(ctx, asked)
		for _, found := range judged.Found {
			result.Found = append(result.Found, diagnose.Candidate{Series: found.From, How: found.How(), Samples: int(found.Series)})
		}
		if judged.Problem != nil && judged.Problem.Reason != v1alpha1.AutoscalerRuleMissing {
			result.Reason, result.Problem = judged.Problem.Reason, judged.Problem.Message
		}
		return result
	}
	return collect.Candidates{}
}

// judge asks Prometheus what a rule for a metric could be derived from, in one query. Where it gives no answer nothing is known.
func (d derivation) judge(ctx context.Context, asked derive.Ask) derive.Judgment {
	questions, problem := derive.Questions(asked)
	found := map[string]prometheus.Names{}
	if problem == nil {
		if d.client == nil {
			return derive.Judgment{}
		}
		var selectors []string
		for _, question := range questions {
			selectors = append(selectors, question.Selector)
		}
		var err error
		if found, err = prometheus.NamesOf(ctx, d.client, selectors); err != nil {
			return derive.Judgment{}
		}
	}
	return derive.Judge(asked, func(selector string) (derive.Answer, bool) {
		names, known := found[selector]
		answer := derive.Answer{}
		for name, count := range names {
			answer[name] = derive.Count(count)
		}
		return answer, known
	})
}
