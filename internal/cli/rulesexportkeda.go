// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/prometheus/common/model"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/metricspipeline/operator/api/v1alpha1"
	"github.com/metricspipeline/operator/internal/derive"
	"github.com/metricspipeline/operator/internal/diagnose/collect"
	"github.com/metricspipeline/operator/internal/metricsapi"
	"github.com/metricspipeline/operator/internal/operand"
	"github.com/metricspipeline/operator/internal/prometheus"
)

// exportScaledObjects writes a ScaledObject for each HPA on external metrics of rules.
func (e *environment) exportScaledObjects(
	ctx context.Context, c client.Client, found *v1alpha1.MetricsPipeline, everywhere bool, direct string, metrics []string,
) error {
	all, err := e.named(ctx, c, "", everywhere)
	if err != nil {
		return err
	}
	read := len(all)
	all = slices.DeleteFunc(all, func(hpa autoscalingv2.HorizontalPodAutoscaler) bool {
		return madeByScaledObject(&hpa) || !onExternal(&hpa, metrics)
	})
	if len(all) == 0 {
		fmt.Fprintf(e.ErrOut, "none of %d HorizontalPodAutoscalers scales on such an external metric\n", read)
		return nil
	}
	from, err := serverOf(found)
	if err != nil {
		return err
	}
	for _, field := range credentialFields(found.Spec.Prometheus) {
		fmt.Fprintf(e.ErrOut, "warning: %s is set, and a trigger does not have it: give each trigger an authenticationRef to a "+
			"TriggerAuthentication of KEDA that does\n", field)
	}
	queries := &externalQueries{pipeline: found, mapper: c.RESTMapper(), prometheus: e.lazyPrometheus(ctx, c, found, direct)}
	code := ExitWorks
	for i := range all {
		hpa := &all[i]
		from.query = func(metric *autoscalingv2.ExternalMetricSource) (string, error) {
			return queries.of(ctx, hpa.Namespace, metric)
		}
		object, err := scaled(hpa, from)
		if err != nil {
			fmt.Fprintf(e.ErrOut, "HorizontalPodAutoscaler %s/%s is left out: %v\n", hpa.Namespace, hpa.Name, err)
			code = exportCode(code, err)
			continue
		}
		content, err := yaml.Marshal(object)
		if err != nil {
			return fmt.Errorf("write the ScaledObject %s/%s: %w", hpa.Namespace, hpa.Name, err)
		}
		fmt.Fprintf(e.Out, "---\n%s", content)
	}
	return exit(code)
}

// exportCode is the worse of the code so far and that of an HPA that is left out.
func exportCode(code int, err error) int {
	var unasked *unaskedError
	if errors.As(err, &unasked) && code != ExitBroken {
		return ExitUnseen
	}
	return ExitBroken
}

// onExternal is true for an HPA that scales on one of some external metrics, or on any where none is named.
func onExternal(hpa *autoscalingv2.HorizontalPodAutoscaler, metrics []string) bool {
	return slices.ContainsFunc(hpa.Spec.Metrics, func(metric autoscalingv2.MetricSpec) bool {
		return metric.External != nil && (len(metrics) == 0 || slices.Contains(metrics, metric.External.Metric.Name))
	})
}

// serverOf says where KEDA asks: where the rules are asked.
func serverOf(found *v1alpha1.MetricsPipeline) (scaledFrom, error) {
	spec := found.Spec.Prometheus
	from := scaledFrom{server: spec.URL, insecure: spec.TLS != nil && spec.TLS.Verification == v1alpha1.TLSInsecure}
	if status := found.Status.Prometheus; status != nil && status.URL != "" {
		from.server = status.URL
		if status.Origin == prometheus.ManagedField {
			from.server = prometheus.ManagedURL(status.URL)
		}
	}
	if from.server == "" {
		return from, errors.New("neither status.prometheus.url nor spec.prometheus.url of the MetricsPipeline says where Prometheus is: " +
			"name it in the spec")
	}
	return from, nil
}

// unaskedError is that Prometheus has to be asked, and cannot be.
type unaskedError struct{ err error }

func (e *unaskedError) Error() string { return e.err.Error() }
func (e *unaskedError) Unwrap() error { return e.err }

// lazyPrometheus asks Prometheus whether it answers when it is needed first: most exports need nothing of it.
func (e *environment) lazyPrometheus(
	ctx context.Context, c client.Client, found *v1alpha1.MetricsPipeline, direct string,
) func() (collect.Asker, error) {
	var asker collect.Asker
	var failed error
	return func() (collect.Asker, error) {
		if asker != nil || failed != nil {
			return asker, failed
		}
		config, err := e.config()
		if err != nil {
			failed = &unaskedError{err}
			return nil, failed
		}
		answers, err := askPrometheus(ctx, config, c, found, direct)
		if err != nil {
			failed = &unaskedError{err}
			return nil, failed
		}
		asker = collect.Ask(answers)
		return asker, nil
	}
}

// externalQueries are what is sent for external metrics.
type externalQueries struct {
	pipeline   *v1alpha1.MetricsPipeline
	mapper     meta.RESTMapper
	prometheus func() (collect.Asker, error)
}

// of returns the query for the external metric of an HPA, which has the namespace as prometheus-adapter puts it in.
func (q *externalQueries) of(ctx context.Context, namespace string, metric *autoscalingv2.ExternalMetricSource) (string, error) {
	request := operand.MetricRequest{API: metricsapi.External.Group, Name: metric.Metric.Name, Namespace: namespace}
	selector := metric.Metric.Selector
	if selector == nil {
		selector = &metav1.LabelSelector{}
	}
	var err error
	if request.Selector, err = metav1.LabelSelectorAsSelector(selector); err != nil {
		return "", fmt.Errorf("its selector: %w", err)
	}
	explained, err := explainer().Explain(q.rules(metric.Metric.Name), request, operand.Explaining{Mapper: q.mapper,
		Dialect: q.pipeline.Spec.Prometheus.Dialect,
		Names: func(query, label string) ([]string, error) {
			return q.names(ctx, collect.NamesQuestion(query, label, namespace))
		}})
	switch {
	case err != nil:
		return "", err //nolint:wrapcheck // it names the rule
	case len(explained) == 0 && q.unlisted():
		return "", &unaskedError{errors.New("status.rules has no rule that makes it, and does not list all derived rules: write it into " +
			"spec.externalMetrics.rules")}
	case len(explained) == 0:
		return "", errors.New("no rule makes it; kubectl metricspipeline why says what to do")
	case explained[0].Problem != "":
		return "", fmt.Errorf("rule %s: %s", explained[0].ID, explained[0].Problem)
	case explained[0].Query == "":
		return "", fmt.Errorf("rule %s sends no query for it", explained[0].ID)
	}
	return inOne(explained[0].Query), nil
}

// rules are those that may make an external metric: the stated ones serve before a derived one.
func (q *externalQueries) rules(metric string) []operand.MetricRule {
	var all []operand.MetricRule
	for _, status := range q.pipeline.Status.Rules {
		rule, window, known := derive.Restore(status)
		if known && rule.API == metricsapi.External.Group && rule.Metric == metric {
			stated := rule.External(window)
			stated.ID = rule.ID()
			all = append(all, operand.MetricRule{Origin: string(v1alpha1.RuleDerived), External: &stated})
		}
	}
	stated := v1alpha1.MetricsPipelineSpec{ExternalMetrics: q.pipeline.Spec.ExternalMetrics}
	return append(all, operand.RulesOf(stated, string(v1alpha1.RuleOfSpec))...)
}

// unlisted is true where the status does not have all derived rules.
func (q *externalQueries) unlisted() bool {
	listed := int32(0)
	for _, status := range q.pipeline.Status.Rules {
		if status.Origin == v1alpha1.RuleDerived {
			listed++
		}
	}
	return q.pipeline.Status.RulesTotal.Derived > listed
}

// names puts a question for names of series.
func (q *externalQueries) names(ctx context.Context, question string) ([]string, error) {
	if question == "" {
		return nil, nil
	}
	asker, err := q.prometheus()
	if err != nil {
		return nil, err
	}
	answer, err := asker.Query(ctx, question)
	if err != nil {
		return nil, &unaskedError{err}
	}
	var names []string
	for _, sample := range answer {
		names = append(names, string(sample.Metric[model.MetricNameLabel]))
	}
	slices.SortFunc(names, strings.Compare)
	return names, nil
}
