// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package collect

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/prometheus/common/model"
	autoscalingv2 "k8s.io/api/autoscaling/v2"

	"github.com/metricspipeline/operator/api/v1alpha1"
	"github.com/metricspipeline/operator/internal/derive"
	"github.com/metricspipeline/operator/internal/diagnose"
	"github.com/metricspipeline/operator/internal/metricsapi"
	"github.com/metricspipeline/operator/internal/operand"
)

// derived returns the rule that is derived for a metric which no stated rule makes, where the status has it. Else it says what one could
// be derived from, or why none is. It asks Prometheus what the operator asks, so that both come to the same.
func (c *collection) derived(
	ctx context.Context, collected *diagnose.Metric, spec autoscalingv2.MetricSpec,
) (*operand.MetricRule, error) {
	ask, asks := derive.AskOf(c.hpa, spec)
	if !asks {
		return nil, nil
	}
	key, known := derive.KeyOf(ask)
	var exceeds *derive.Problem
	if c.Derived != nil {
		exceeds = c.Derived(ask)
	}
	if rule := c.listed(key); known && rule != nil && exceeds == nil {
		return rule, nil
	}
	if c.Prometheus == nil {
		c.unseen(diagnose.LinkRule, "ask Prometheus what a rule for "+ask.Name+" follows from", errors.New(c.NoPrometheus))
	}
	judgment, err := c.judge(ctx, collected, ask)
	if err != nil {
		return nil, err
	}
	for _, found := range judgment.Found {
		collected.Candidates = append(collected.Candidates,
			diagnose.Candidate{Series: found.From, How: found.How(), Samples: int(found.Series)})
	}
	if judgment.Problem == nil {
		judgment.Problem = exceeds
	}
	if judgment.Problem != nil {
		collected.CandidatesReason, collected.CandidatesProblem = judgment.Problem.Reason, judgment.Problem.Message
	}
	if !known || len(judgment.Found) != 1 || judgment.Problem != nil || !c.TakenOver[key.API] && !c.inForce(key) {
		return nil, nil
	}
	rule := derive.Rule{Key: key, Candidate: judgment.Found[0].Candidate}
	return ruleOf(rule, derive.Window(c.pipeline.Spec.Scrape.Interval.Or(0))), nil
}

// listed is the derived rule that the status has for a metric; nil for none, or where it has no room for it.
func (c *collection) listed(key derive.Key) *operand.MetricRule {
	for _, status := range c.pipeline.Status.Rules {
		if rule, window, restored := derive.Restore(status); restored && rule.Key == key {
			return ruleOf(rule, window)
		}
	}
	return nil
}

// judge asks Prometheus for the series that a metric can be made of.
func (c *collection) judge(ctx context.Context, collected *diagnose.Metric, ask derive.Ask) (derive.Judgment, error) {
	questions, problem := derive.Questions(ask)
	if problem != nil || c.Prometheus == nil {
		return derive.Judgment{Problem: problem}, nil
	}
	t, texts := terms{namespace: c.hpa.Namespace}, map[string]string{}
	for i, question := range questions {
		name := strconv.Itoa(i)
		texts[question.Selector] = name
		t.inside(name, fmt.Sprintf("topk(%d, count by (%s, %s) (%s))", mostNames, model.MetricNameLabel, model.QuantileLabel,
			question.Selector), question.Labels.Namespace)
	}
	if len(t.exprs) == 0 {
		return derive.Judgment{}, nil
	}
	vector, err := c.putAll(ctx, &collected.Series, &t)
	if err != nil {
		return derive.Judgment{}, err
	}
	return derive.Judge(ask, func(selector string) (derive.Answer, bool) {
		answer := derive.Answer{}
		for _, sample := range vector {
			if string(sample.Metric[termLabel]) != texts[selector] {
				continue
			}
			name := string(sample.Metric[model.MetricNameLabel])
			count := answer[name]
			count.Series += int64(sample.Value)
			count.Quantiles = count.Quantiles || sample.Metric[model.QuantileLabel] != ""
			answer[name] = count
		}
		return answer, true
	}), nil
}

// inForce is false where the status has all derived rules, and not this one.
func (c *collection) inForce(key derive.Key) bool {
	listed := int32(0)
	for _, rule := range c.pipeline.Status.Rules {
		if rule.Origin != v1alpha1.RuleDerived {
			continue
		}
		listed++
		if rule.API == key.API && rule.ID == key.ID() {
			return true
		}
	}
	return c.pipeline.Status.RulesTotal.Derived > listed
}

// ruleOf is a derived rule in the form of the spec.
func ruleOf(rule derive.Rule, window time.Duration) *operand.MetricRule {
	derived := operand.MetricRule{Origin: string(v1alpha1.RuleDerived)}
	if rule.API == metricsapi.External.Group {
		external := rule.External(window)
		external.ID = rule.ID()
		derived.External = &external
	} else {
		custom := rule.Custom(window)
		custom.ID = rule.ID()
		derived.Custom = &custom
	}
	return &derived
}
