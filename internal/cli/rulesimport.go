// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"context"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"

	"github.com/metricspipeline/operator/api/v1alpha1"
)

// mostInput bounds a file of rules: a ConfigMap cannot be longer.
const mostInput = 4 << 20

func rulesImportCommand(env *environment) *cobra.Command {
	var file string
	cmd := &cobra.Command{
		Use:   "import -f FILE",
		Short: "Turn the rules of prometheus-adapter into those of a MetricsPipeline",
		Long: `Turn rules of prometheus-adapter into a MetricsPipeline with the same rules, on standard output. It needs no cluster.

FILE is the adapter's configuration, the ConfigMap that has it, or the values of its Helm chart. What the chart does for rules.default,
which is true unless the values set it to false, is written out rule by rule.

Each rule is checked with the code that will run it. What cannot be carried over, and what is known to be wrong with a rule, is on
standard error.

Exit codes:

    0  every rule would be accepted; there may be warnings
    1  a rule would be rejected; standard error says why
    3  the file could not be read
    4  the command line is not understood`,
		Example: `  kubectl get configmap adapter-config -n monitoring -o yaml | kubectl metricspipeline rules import -f - > pipeline.yaml
  helm get values prometheus-adapter -n monitoring -o yaml | kubectl metricspipeline rules import -f -`,
		Args: noArguments,
		RunE: perform(func(context.Context, []string) error {
			if file == "" {
				return usage("--filename is not set: name the file with the rules, or - for standard input")
			}
			content, err := env.read(file)
			if err != nil {
				return err
			}
			read, err := readRules(content)
			if err != nil {
				return fmt.Errorf("read rules from %s: %w", file, err)
			}
			found := importRules(read)
			fragment, err := yaml.Marshal(found.fragment())
			if err != nil {
				return fmt.Errorf("write the rules: %w", err)
			}
			fmt.Fprintf(env.Out, "%s", fragment)
			for _, warning := range found.warnings {
				fmt.Fprintf(env.ErrOut, "warning: %s\n", warning)
			}
			for _, rejected := range found.rejected {
				fmt.Fprintf(env.ErrOut, "rejected: %s\n", rejected)
			}
			if len(found.rejected) > 0 {
				return exit(ExitBroken)
			}
			return nil
		}),
	}
	cmd.Flags().StringVarP(&file, "filename", "f", "", "The file with the rules; - is standard input.")
	return cmd
}

// read returns the content of a file; - is standard input.
func (e *environment) read(file string) ([]byte, error) {
	from := e.In
	if file != "-" {
		opened, err := os.Open(file)
		if err != nil {
			return nil, fmt.Errorf("read the file of --filename: %w", err)
		}
		defer opened.Close()
		from = opened
	}
	content, err := io.ReadAll(io.LimitReader(from, mostInput+1))
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", file, err)
	}
	if len(content) > mostInput {
		return nil, fmt.Errorf("%s has more than %d bytes, which no ConfigMap has: name the file with the rules alone", file, mostInput)
	}
	return content, nil
}

// fragment is a MetricsPipeline that says nothing but its rules.
type fragment struct {
	metav1.TypeMeta `json:",inline"`
	Metadata        struct {
		Name string `json:"name"`
	} `json:"metadata"`
	Spec struct {
		Custom   *fragmentRules[v1alpha1.CustomMetricRule]   `json:"customMetrics,omitempty"`
		External *fragmentRules[v1alpha1.ExternalMetricRule] `json:"externalMetrics,omitempty"`
	} `json:"spec"`
}

type fragmentRules[T any] struct {
	Rules []T `json:"rules"`
}

func newFragment(custom []v1alpha1.CustomMetricRule, external []v1alpha1.ExternalMetricRule) fragment {
	out := fragment{TypeMeta: metav1.TypeMeta{APIVersion: v1alpha1.GroupVersion.String(), Kind: "MetricsPipeline"}}
	out.Metadata.Name = v1alpha1.SingletonName
	if len(custom) > 0 {
		out.Spec.Custom = &fragmentRules[v1alpha1.CustomMetricRule]{custom}
	}
	if len(external) > 0 {
		out.Spec.External = &fragmentRules[v1alpha1.ExternalMetricRule]{external}
	}
	return out
}

// fragment of what was imported.
func (i imported) fragment() fragment { return newFragment(i.custom, i.external) }
