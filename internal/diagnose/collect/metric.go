// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package collect

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/prometheus/common/model"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/metricspipeline/operator/internal/diagnose"
	"github.com/metricspipeline/operator/internal/metricsapi"
	"github.com/metricspipeline/operator/internal/operand"
)

// The resources that a metric is requested of.
var (
	podResource       = schema.GroupResource{Resource: "pods"}
	namespaceResource = schema.GroupResource{Resource: "namespaces"}
)

// metric collects the evidence of one metric. The error is ErrNotNow.
func (c *collection) metric(ctx context.Context, spec autoscalingv2.MetricSpec) (diagnose.Metric, error) {
	collected := diagnose.Metric{Series: notAsked()}
	var request operand.MetricRequest
	var wanted *metav1.LabelSelector
	switch {
	case spec.Resource != nil, spec.ContainerResource != nil:
		collected.API = c.api(ctx, metricsapi.Resource.Group)
		c.readUsage(ctx, &collected)
		return collected, nil
	case spec.Pods != nil:
		request = operand.MetricRequest{API: metricsapi.CustomV1Beta1.Group, Name: spec.Pods.Metric.Name, Resource: podResource,
			Objects: c.requested()}
		wanted = spec.Pods.Metric.Selector
	case spec.Object != nil:
		request = operand.MetricRequest{API: metricsapi.CustomV1Beta1.Group, Name: spec.Object.Metric.Name}
		wanted = spec.Object.Metric.Selector
		if err := c.describe(spec.Object.DescribedObject, &request); err != nil {
			collected.RuleProblem, collected.ObjectKindNotServed = err.Error(), notServed(err)
		}
	case spec.External != nil:
		request = operand.MetricRequest{API: metricsapi.External.Group, Name: spec.External.Metric.Name}
		wanted = spec.External.Metric.Selector
	default:
		return collected, nil
	}
	request.Namespace, request.Selector = c.hpa.Namespace, labels.Everything()
	if wanted != nil {
		selector, err := metav1.LabelSelectorAsSelector(wanted)
		if err != nil {
			collected.RuleProblem = fmt.Sprintf("the selector of the metric cannot be read: %v", err)
		}
		request.Selector = selector
	}
	collected.API = c.api(ctx, request.API)
	return collected, c.custom(ctx, &collected, spec, request)
}

// requested are the names of the pods that a metric is requested of: those that run, or else those that there are.
func (c *collection) requested() []string {
	if names := c.targetApps.running(); len(names) > 0 {
		return names
	}
	var names []string
	for _, pod := range c.evidence.Pods {
		names = append(names, pod.Name)
	}
	slices.Sort(names)
	return fitting(names)
}

// describe finds the resource of the object that a metric describes. Of a Namespace the HPA controller requests its own.
func (c *collection) describe(ref autoscalingv2.CrossVersionObjectReference, request *operand.MetricRequest) error {
	kind := schema.FromAPIVersionAndKind(ref.APIVersion, ref.Kind)
	mapping, err := c.Mapper.RESTMapping(kind.GroupKind(), kind.Version)
	if notServed(err) {
		mapping, err = c.Mapper.RESTMapping(kind.GroupKind()) // The metric is of a resource, in whatever version.
	}
	if err != nil {
		return fmt.Errorf("describedObject %s %s: %w", ref.Kind, ref.Name, err)
	}
	request.Resource, request.Objects = mapping.Resource.GroupResource(), []string{ref.Name}
	if request.Resource == namespaceResource {
		request.Objects = []string{c.hpa.Namespace}
	}
	return nil
}

// custom collects what is known of a metric that is made of Prometheus' series. The error is ErrNotNow.
func (c *collection) custom(
	ctx context.Context, collected *diagnose.Metric, spec autoscalingv2.MetricSpec, request operand.MetricRequest,
) error {
	if c.pipeline == nil || collected.API.Registered && !collected.API.Ours || collected.RuleProblem != "" {
		return nil
	}
	collected.DeriveDisabled = !metricsapi.Derives(c.pipeline.Spec, request.API)
	rules, err := c.rules(ctx, collected, spec, request)
	ofControllers(collected, request, rules)
	switch {
	case err != nil:
	case c.Prometheus == nil:
		c.unseen(diagnose.LinkSeries, "ask Prometheus", errors.New(c.NoPrometheus))
		c.unseen(diagnose.LinkScrape, "ask Prometheus for its targets", errors.New(c.NoPrometheus))
	default:
		err = c.measure(ctx, collected, request, rules, c.exposer(spec))
	}
	for _, rule := range rules {
		collected.Rules = append(collected.Rules, rule.rule)
	}
	switch {
	case errors.Is(err, ErrNotNow):
		return ErrNotNow
	case errors.Is(err, errNoMore):
		c.unseen(diagnose.LinkSeries, "ask Prometheus for "+request.Name, err)
	}
	return nil // Of any other error the evidence says it.
}

// rules returns the stated rules that make a metric, or else the one that is derived: of two the adapter serves the stated one. The error
// is one of the questions.
func (c *collection) rules(
	ctx context.Context, collected *diagnose.Metric, spec autoscalingv2.MetricSpec, request operand.MetricRequest,
) ([]served, error) {
	if c.Explain == nil {
		return nil, nil
	}
	rules, err := c.explain(ctx, collected, request, operand.RulesOf(c.pipeline.Spec, originSpec))
	if err != nil || len(rules) > 0 || collected.RuleProblem != "" || collected.DeriveDisabled {
		return rules, err
	}
	rule, err := c.derived(ctx, collected, spec)
	if err != nil || rule == nil {
		return nil, err
	}
	return c.explain(ctx, collected, request, []operand.MetricRule{*rule})
}

// explain returns those of some rules that make a metric.
func (c *collection) explain(
	ctx context.Context, collected *diagnose.Metric, request operand.MetricRequest, all []operand.MetricRule,
) ([]served, error) {
	explained, err := c.Explain.Explain(all, request, operand.Explaining{Mapper: c.Mapper, Dialect: c.pipeline.Spec.Prometheus.Dialect,
		Names: func(selector, label string) ([]string, error) { return c.names(ctx, collected, selector, label) }})
	if err != nil {
		if !errors.Is(err, ErrNotNow) && !errors.Is(err, errNoMore) && !errors.Is(err, errUnanswered) {
			collected.RuleProblem, err = err.Error(), nil
		}
		return nil, err
	}
	var rules []served
	for _, one := range explained {
		rule := diagnose.Rule{ID: one.ID, Origin: one.Origin, Query: one.Query, SeriesQuery: one.SeriesQuery, Problem: one.Problem}
		rule.State, rule.Message = c.state(request.API, one.ID)
		rules = append(rules, served{Explained: one, rule: rule, selector: parseSelector(one.SeriesQuery), total: unknown})
	}
	return rules, nil
}

// mostNames is how many names of series are read.
const mostNames = 200

// NamesQuestion asks for the names of series of a rule's selector that are in one namespace, which a label of the series names. It is
// empty where the text is no selector, or its series belong to no namespace.
func NamesQuestion(query, label, namespace string) string {
	of := parseSelector(query)
	if of == nil || label == "" {
		return ""
	}
	question := fmt.Sprintf("topk(%d, group by (%s) (%s))", mostNames, model.MetricNameLabel, of.with(equal(label, namespace)))
	if !confined(question, namespace, label) {
		return ""
	}
	return question
}

// names returns the names of series of a rule's selector that are in the HPA's namespace. Of series that belong to none, or where
// Prometheus cannot be asked, there are none.
func (c *collection) names(ctx context.Context, collected *diagnose.Metric, query, label string) ([]string, error) {
	question := NamesQuestion(query, label, c.hpa.Namespace)
	if question == "" || c.Prometheus == nil {
		return nil, nil
	}
	answer, err := c.query(ctx, &collected.Series, question)
	if err != nil {
		return nil, err
	}
	if collected.Series.QueryError != "" {
		collected.Series.Unreachable, collected.Series.QueryError = collected.Series.QueryError, ""
		return nil, errUnanswered
	}
	var names []string
	for _, sample := range answer {
		names = append(names, string(sample.Metric[model.MetricNameLabel]))
	}
	slices.SortFunc(names, strings.Compare)
	return names, nil
}
