// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/common/model"
	"github.com/spf13/cobra"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	"sigs.k8s.io/yaml"

	"github.com/metricspipeline/operator/api/v1alpha1"
	"github.com/metricspipeline/operator/internal/diagnose"
	"github.com/metricspipeline/operator/internal/diagnose/collect"
	"github.com/metricspipeline/operator/internal/metricsapi"
)

func rulesTestCommand(env *environment) *cobra.Command {
	var (
		file, direct string
		everywhere   bool
		timeout      time.Duration
	)
	cmd := &cobra.Command{
		Use:   "test hpa[/NAME]",
		Short: "Show what rules give now for a HorizontalPodAutoscaler",
		Long: `Show for each metric of a HorizontalPodAutoscaler which rule makes it, the PromQL that prometheus-adapter sends for it,
and what Prometheus answers just now. Without a name it is every HorizontalPodAutoscaler of the namespace, or of all namespaces with
--all-namespaces.

With -f customMetrics and externalMetrics of that MetricsPipeline take the place of those in the cluster, so that rules can be tested before
they are applied. Where its policy is TakeOver, the metrics API is looked at as if the pipeline served it already: rules that would be
derived are among them.

Prometheus is asked with your own rights, through the API server or at --prometheus-url, as kubectl metricspipeline why does.

Exit codes:

    0  each metric that takes a rule has one that gives samples
    1  a metric has no rule, or its rule gives none
    2  Prometheus could not be asked, or the rules not be read
    3  the command could not be carried out
    4  the command line is not understood`,
		Example: `  kubectl metricspipeline rules test hpa/web -n shop
  kubectl metricspipeline rules test hpa/web -n shop -f pipeline.yaml
  kubectl metricspipeline rules test hpa --all-namespaces -f pipeline.yaml`,
		Args: func(_ *cobra.Command, arguments []string) error {
			name, err := autoscalerName(arguments)
			if err == nil && name != "" && everywhere {
				err = usage("--all-namespaces and the name %s are both set: leave one of them out", name)
			}
			return err
		},
		ValidArgsFunction: env.completeAutoscalers,
		RunE: perform(func(ctx context.Context, arguments []string) error {
			name, _ := autoscalerName(arguments) // Args has refused what is not understood.
			limited, cancel := context.WithTimeout(ctx, timeout)
			defer cancel()
			return env.testRules(limited, name, everywhere, file, direct)
		}),
	}
	cmd.Flags().StringVarP(&file, "filename", "f", "", "A MetricsPipeline with the rules to test; - is standard input.")
	cmd.Flags().BoolVarP(&everywhere, "all-namespaces", "A", false, "Test for the HorizontalPodAutoscalers of all namespaces.")
	cmd.Flags().StringVar(&direct, "prometheus-url", "", "Ask Prometheus at this URL, and not through the API server.")
	cmd.Flags().DurationVar(&timeout, "timeout", time.Minute, "How long to look at most.")
	return cmd
}

func (e *environment) testRules(ctx context.Context, name string, everywhere bool, file, direct string) error {
	c, err := e.client()
	if err != nil {
		return err
	}
	all, err := e.named(ctx, c, name, everywhere)
	if err != nil {
		return err
	}
	by, err := e.live(ctx, c, direct)
	if err != nil {
		return err
	}
	if file != "" {
		if err := e.replaceRules(ctx, by, file); err != nil {
			return err
		}
	}
	verdicts := &node{}
	for i := range all {
		hpa := &all[i]
		evidence, err := by.collect(ctx, hpa)
		if err != nil {
			return err
		}
		tree := &node{title: fmt.Sprintf("HorizontalPodAutoscaler %s/%s", hpa.Namespace, hpa.Name)}
		for i, metric := range evidence.Metrics {
			tree.children = append(tree.children, testNode(ctx, by.sources.Prometheus, hpa.Spec.Metrics[i], metric, evidence.Unseen))
		}
		newCanvas(e.Out).tree(tree)
		verdicts.add(tree.worst(), "", "")
	}
	switch verdicts.worst() {
	case broken:
		return exit(ExitBroken)
	case unseen:
		return exit(ExitUnseen)
	default:
		return nil
	}
}

// named reads the HPA of a name, or all of the namespace, or of all namespaces.
func (e *environment) named(
	ctx context.Context, reader reader, name string, everywhere bool,
) ([]autoscalingv2.HorizontalPodAutoscaler, error) {
	if name != "" {
		hpa, err := e.autoscaler(ctx, reader, name)
		if err != nil {
			return nil, err
		}
		return []autoscalingv2.HorizontalPodAutoscaler{*hpa}, nil
	}
	namespace, err := e.scope(everywhere)
	if err != nil {
		return nil, err
	}
	all, err := autoscalers(ctx, reader, namespace)
	if err == nil && len(all) == 0 {
		fmt.Fprintf(e.ErrOut, "there are no HorizontalPodAutoscalers in %s\n", cmp.Or(namespace, "the cluster"))
	}
	return all, err
}

// replaceRules has custom and external metrics of a file take the place of those in the cluster, whose status says nothing of them.
func (e *environment) replaceRules(ctx context.Context, by *live, file string) error {
	content, err := e.read(file)
	if err != nil {
		return err
	}
	stated := &v1alpha1.MetricsPipeline{}
	if err := yaml.UnmarshalStrict(content, stated); err != nil {
		return fmt.Errorf("read a MetricsPipeline from %s: %w", file, err)
	}
	if stated.Kind != "MetricsPipeline" {
		return fmt.Errorf("%s has the kind %q: name a file with one MetricsPipeline, such as what rules import prints", file, stated.Kind)
	}
	found, err := by.sources.Pipeline(ctx)
	if err != nil {
		return fmt.Errorf("read MetricsPipeline %s: %w; its status says where Prometheus is", v1alpha1.SingletonName, err)
	}
	changed := found.DeepCopy()
	changed.Spec.CustomMetrics, changed.Spec.ExternalMetrics = stated.Spec.CustomMetrics, stated.Spec.ExternalMetrics
	// What the status says of stated rules is not about these.
	changed.Status.Rules = slices.DeleteFunc(changed.Status.Rules, func(rule v1alpha1.RuleStatus) bool {
		return rule.Origin != v1alpha1.RuleDerived
	})
	by.sources.Pipeline = func(context.Context) (*v1alpha1.MetricsPipeline, error) { return changed, nil }
	by.sources.TakenOver = map[string]bool{
		metricsapi.CustomV1Beta1.Group: stated.Spec.CustomMetrics.Policy == v1alpha1.PolicyTakeOver,
		metricsapi.External.Group:      stated.Spec.ExternalMetrics.Policy == v1alpha1.PolicyTakeOver,
	}
	return nil
}

// testNode says what the rule of a metric gives.
func testNode(
	ctx context.Context, prometheus collect.Asker, spec autoscalingv2.MetricSpec, metric diagnose.Metric,
	notSeen map[diagnose.LinkName]string,
) *node {
	part := &node{title: diagnose.MetricName(spec)}
	switch {
	case spec.Resource != nil, spec.ContainerResource != nil:
		part.mark, part.text = skipped, "takes no rule"
		return part
	case notSeen[diagnose.LinkRule] != "":
		part.mark, part.text = unseen, notSeen[diagnose.LinkRule]
		return part
	case metric.RuleProblem != "":
		part.mark, part.text = broken, metric.RuleProblem
		return part
	case metric.API.Registered && !metric.API.Ours:
		part.mark, part.text = skipped, metric.API.Group+" is served by "+metric.API.Owner
		return part
	case len(metric.Rules) == 0:
		part.mark, part.text = broken, strings.TrimSuffix("no rule makes it: "+metric.CandidatesProblem, ": ")
		return part
	}
	rule := metric.Rules[0]
	part.text = fmt.Sprintf("rule %s (%s)", rule.ID, rule.Origin)
	if rule.Problem != "" {
		part.mark = broken
		part.text += ": " + rule.Problem
		return part
	}
	if rule.Query != "" {
		part.lines = []string{"PromQL: " + rule.Query}
	}
	switch {
	case prometheus == nil:
		part.mark = unseen
		part.text += ": " + notSeen[diagnose.LinkSeries]
	case rule.Query == "":
		part.mark = broken
		part.text += ": nothing is sent, for there is no object to ask for"
	default:
		sampleNodes(ctx, prometheus, part, rule.Query)
	}
	return part
}

// mostSamples is how many samples are printed.
const mostSamples = 20

// sampleNodes adds what Prometheus answers to a query.
func sampleNodes(ctx context.Context, prometheus collect.Asker, part *node, query string) {
	answer, err := prometheus.Query(ctx, query)
	if err != nil {
		part.mark = broken
		part.text += ": " + err.Error()
		return
	}
	part.mark = works
	part.text += fmt.Sprintf(" gives %d samples", len(answer))
	if len(answer) == 0 {
		part.mark = broken
	}
	for i, sample := range answer {
		if i == mostSamples {
			remaining(part, len(answer)-mostSamples)
			break
		}
		labels := sample.Metric.Clone()
		delete(labels, model.MetricNameLabel)
		verdict := works
		if math.IsNaN(float64(sample.Value)) {
			verdict, part.mark = broken, broken
		}
		part.add(verdict, labels.String(), sample.Value.String())
	}
}
