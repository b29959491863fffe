// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"context"
	"fmt"
	"slices"

	"github.com/spf13/cobra"
	"sigs.k8s.io/yaml"

	"github.com/metricspipeline/operator/api/v1alpha1"
	"github.com/metricspipeline/operator/internal/derive"
	"github.com/metricspipeline/operator/internal/metricsapi"
)

func rulesExportCommand(env *environment) *cobra.Command {
	return &cobra.Command{
		Use:   "export [METRIC...]",
		Short: "Write derived rules as rules to keep",
		Long: `Write the rules that the operator derived from HorizontalPodAutoscalers as rules of a MetricsPipeline, on standard
output; those of some metrics, or all. A rule that the spec has stays when no HorizontalPodAutoscaler asks for its metric any more, and
can be changed.

The status lists at most 20 rules. Where it does not have all derived rules, standard error says so: apply those that were written, which
makes room for others, and export again.

Exit codes:

    0  every derived rule was written, or there is none
    1  a metric that was named has no derived rule
    2  the status does not list all derived rules
    3  the pipeline could not be read
    4  the command line is not understood`,
		Example: `  kubectl metricspipeline rules export http_requests_per_second > rules.yaml
  kubectl apply --server-side --field-manager=exported-rules -f rules.yaml`,
		RunE: perform(func(ctx context.Context, metrics []string) error {
			reader, err := env.client()
			if err != nil {
				return err
			}
			found, err := pipeline(ctx, reader)
			if err != nil {
				return err
			}
			return env.exportRules(found, metrics)
		}),
	}
}

// exportRules writes the derived rules of a pipeline's status.
func (e *environment) exportRules(found *v1alpha1.MetricsPipeline, metrics []string) error {
	exported := exportOf(found, metrics)
	if len(exported.custom)+len(exported.external) > 0 {
		content, err := yaml.Marshal(exported.fragment())
		if err != nil {
			return fmt.Errorf("write the rules: %w", err)
		}
		fmt.Fprintf(e.Out, "%s", content)
	}
	for _, warning := range exported.warnings {
		fmt.Fprintf(e.ErrOut, "warning: %s\n", warning)
	}
	code := ExitWorks
	total := int(found.Status.RulesTotal.Derived)
	for _, metric := range metrics {
		if !slices.Contains(exported.metrics, metric) {
			fmt.Fprintf(e.ErrOut, "status.rules has no derived rule for the metric %s\n", metric)
			code = ExitBroken
		}
	}
	switch {
	case total > exported.listed:
		fmt.Fprintf(e.ErrOut, "status.rules lists %d of %d derived rules: apply these, and export again\n", exported.listed, total)
		if code == ExitWorks && len(metrics) == 0 {
			code = ExitUnseen
		}
	case total == 0 && len(metrics) == 0:
		fmt.Fprintln(e.ErrOut, "there are no derived rules")
	}
	return exit(code)
}

// exportedRules are derived rules in the form of a spec.
type exportedRules struct {
	imported

	// metrics that they make, and how many derived rules the status lists.
	metrics []string
	listed  int
}

// exportOf turns the derived rules of a status into rules of a spec, under ids that its rules do not have. It is pure.
func exportOf(found *v1alpha1.MetricsPipeline, metrics []string) exportedRules {
	var all exportedRules
	taken := map[string]map[string]bool{metricsapi.CustomV1Beta1.Group: {}, metricsapi.External.Group: {}}
	for _, rule := range found.Spec.CustomMetrics.Rules {
		taken[metricsapi.CustomV1Beta1.Group][rule.ID] = true
	}
	for _, rule := range found.Spec.ExternalMetrics.Rules {
		taken[metricsapi.External.Group][rule.ID] = true
	}
	for _, status := range found.Status.Rules {
		if status.Origin != v1alpha1.RuleDerived {
			continue
		}
		all.listed++
		rule, window, known := derive.Restore(status)
		if !known {
			all.warnings = append(all.warnings, fmt.Sprintf("status.rules has %s with the query %q, which this version does not know: "+
				"use the plugin of the operator's version, %s", status.ID, status.Query, found.Status.Version))
			continue
		}
		if len(metrics) > 0 && !slices.Contains(metrics, rule.Metric) {
			continue
		}
		all.metrics = append(all.metrics, rule.Metric)
		id := uniqueID(sourceRule{id: rule.Metric}, taken[rule.API])
		if rule.API == metricsapi.External.Group {
			stated := rule.External(window)
			stated.ID = id
			all.external = append(all.external, stated)
		} else {
			stated := rule.Custom(window)
			stated.ID = id
			all.custom = append(all.custom, stated)
		}
	}
	return all
}
