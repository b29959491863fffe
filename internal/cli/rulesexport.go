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
	var (
		keda, everywhere bool
		direct           string
	)
	cmd := &cobra.Command{
		Use:   "export [METRIC...]",
		Short: "Write derived rules as rules to keep, or external ones as ScaledObjects",
		Long: `Write the rules that the operator derived from HorizontalPodAutoscalers as rules of a MetricsPipeline, on standard
output; those of some metrics, or all. A rule that the spec has stays when no HorizontalPodAutoscaler asks for its metric any more, and
can be changed.

The status lists at most 20 rules. Where it does not have all derived rules, standard error says so: apply those that were written, which
makes room for others, and export again.

With --keda it writes a ScaledObject of KEDA for each HorizontalPodAutoscaler of the namespace that scales on an external metric of a rule,
stated or derived. Its trigger of type prometheus has the query that prometheus-adapter sends for that HorizontalPodAutoscaler, the same
target and the same bounds, and KEDA takes the HorizontalPodAutoscaler over under its name when the ScaledObject is applied. What KEDA
cannot do in the same way is on standard error.

Exit codes:

    0  everything was written, or there is nothing to write
    1  a metric that was named has no derived rule, or a HorizontalPodAutoscaler cannot be a ScaledObject
    2  the status does not list all derived rules, or Prometheus could not be asked
    3  the pipeline or the HorizontalPodAutoscalers could not be read
    4  the command line is not understood`,
		Example: `  kubectl metricspipeline rules export http_requests_per_second > rules.yaml
  kubectl apply --server-side --field-manager=exported-rules -f rules.yaml
  kubectl metricspipeline rules export --keda -n shop > scaledobjects.yaml`,
		RunE: perform(func(ctx context.Context, metrics []string) error {
			if !keda && (everywhere || direct != "") {
				return usage("--all-namespaces and --prometheus-url are of --keda alone: set --keda, or leave them out")
			}
			reader, err := env.client()
			if err != nil {
				return err
			}
			found, err := pipeline(ctx, reader)
			if err != nil {
				return err
			}
			if keda {
				return env.exportScaledObjects(ctx, reader, found, everywhere, direct, metrics)
			}
			return env.exportRules(found, metrics)
		}),
	}
	cmd.Flags().BoolVar(&keda, "keda", false, "Write ScaledObjects of KEDA for HorizontalPodAutoscalers on external metrics.")
	cmd.Flags().BoolVarP(&everywhere, "all-namespaces", "A", false, "With --keda, those of all namespaces.")
	cmd.Flags().StringVar(&direct, "prometheus-url", "", "With --keda, ask Prometheus at this URL, and not through the API server. It is asked\n"+
		"where a rule takes its series by a pattern.")
	return cmd
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
