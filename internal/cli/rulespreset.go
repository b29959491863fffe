// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"context"
	"fmt"
	"regexp"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"
	"k8s.io/apimachinery/pkg/util/validation"
	"sigs.k8s.io/yaml"

	"github.com/metricspipeline/operator/api/v1alpha1"
	"github.com/metricspipeline/operator/internal/derive"
	"github.com/metricspipeline/operator/internal/presets"
)

func rulesPresetCommand(env *environment) *cobra.Command {
	var (
		metric   string
		interval time.Duration
	)
	cmd := &cobra.Command{
		Use:   "preset [NAME]",
		Short: "Write a ready-made rule for the request rates of an ingress controller",
		Long: `Write a ready-made rule for the request rates that an ingress controller or a gateway counts, on standard output; without
NAME a table of those that there are. It needs no cluster.

The series of such a controller come from its own namespace and name the object, of another namespace, in a label. An app could set that
label on series of its own, so the rule reads the controller's namespace alone: --namespace, or the one in which the controller's own
installation puts it. That of the kubeconfig is not used.

What is to be known of a rule is on standard error. To read the metric, a HorizontalPodAutoscaler needs nothing more: docs/ingress.md.

Exit codes:

    0  the rule was written
    4  the command line is not understood`,
		Example: `  kubectl metricspipeline rules preset
  kubectl metricspipeline rules preset ingress-nginx --namespace ingress-nginx > ingress-rules.yaml
  kubectl apply --server-side --field-manager=ingress-rules -f ingress-rules.yaml`,
		Args:              presetName,
		ValidArgsFunction: completePresets,
		RunE: perform(func(_ context.Context, arguments []string) error {
			if len(arguments) == 0 {
				return env.listPresets()
			}
			preset, _ := presets.Of(arguments[0]) // Args has refused what is not in the table.
			return env.writePreset(preset, metric, interval)
		}),
	}
	cmd.Flags().StringVar(&metric, "metric", "", "The name that HorizontalPodAutoscalers ask for; unset: that of the table.")
	cmd.Flags().DurationVar(&interval, "scrape-interval", 30*time.Second,
		"How often the controller is scraped; the rate is taken over four times that, and 2 minutes at least.")
	return cmd
}

// presetName accepts no argument, or the name of a preset.
func presetName(cmd *cobra.Command, arguments []string) error {
	if len(arguments) == 0 {
		return nil
	}
	if _, known := presets.Of(arguments[0]); !known || len(arguments) > 1 {
		return usage("%s takes one name of %s, and not %q", cmd.CommandPath(), strings.Join(presetNames(), ", "),
			strings.Join(arguments, " "))
	}
	return nil
}

func presetNames() []string {
	var names []string
	for _, preset := range presets.All {
		names = append(names, preset.Name)
	}
	return names
}

func completePresets(_ *cobra.Command, arguments []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
	if len(arguments) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	return presetNames(), cobra.ShellCompDirectiveNoFileComp
}

func (e *environment) listPresets() error {
	table := tabwriter.NewWriter(e.Out, 0, 0, 3, ' ', 0)
	fmt.Fprintln(table, "NAME\tCONTROLLER\tNAMESPACE\tOBJECT\tMETRIC")
	for _, preset := range presets.All {
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\n", preset.Name, preset.Title, preset.Namespace, preset.Object.Kind, preset.Metric)
	}
	if err := table.Flush(); err != nil {
		return fmt.Errorf("write the table: %w", err)
	}
	return nil
}

// presetMetric is what a metric may be called: a $ would refer to a group of name.matches.
var presetMetric = regexp.MustCompile(`^[a-zA-Z_:][a-zA-Z0-9_:.-]{0,252}$`)

// writePreset writes a rule, and says what is to be known of it.
func (e *environment) writePreset(preset presets.Preset, metric string, interval time.Duration) error {
	namespace := *e.flags.Namespace
	if namespace == "" {
		namespace = preset.Namespace
	}
	switch {
	case len(validation.IsDNS1123Label(namespace)) > 0:
		return usage("--namespace is %q, which is no name of a namespace: set it to that of the controller, such as %s",
			namespace, preset.Namespace)
	case metric != "" && !presetMetric.MatchString(metric):
		return usage("--metric is %q: a metric's name has letters, digits, _, :, . and -, such as %s", metric, preset.Metric)
	case interval <= 0 || interval%time.Second != 0:
		return usage("--scrape-interval is %s: set it to whole seconds, such as 30s", interval)
	}
	rule := preset.Rule(namespace, metric, derive.Window(interval))
	content, err := yaml.Marshal(newFragment([]v1alpha1.CustomMetricRule{rule}, nil))
	if err != nil {
		return fmt.Errorf("write the rule: %w", err)
	}
	fmt.Fprintf(e.Out, "%s", content)
	fmt.Fprintf(e.ErrOut, "note: It makes the metric %s of type Object, with describedObject: {apiVersion: %s, kind: %s, name: NAME}.\n",
		rule.Name.As, preset.Object.APIVersion, preset.Object.Kind)
	fmt.Fprintf(e.ErrOut, "note: It reads series that are scraped in namespace %s. Who may run pods there can set any rate.\n", namespace)
	for _, note := range preset.Notes {
		fmt.Fprintf(e.ErrOut, "note: %s\n", note)
	}
	return nil
}
