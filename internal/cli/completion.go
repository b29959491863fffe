// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"
)

// pluginCompletion is the program that kubectl 1.26 and newer asks for what can follow `kubectl metricspipeline`.
const pluginCompletion = `#!/bin/sh
# kubectl runs this file, from a folder of PATH and under the name kubectl_complete-metricspipeline, to complete
# "kubectl metricspipeline".
exec kubectl metricspipeline __complete "$@"
`

// addCompletion adds the command of cobra that writes the scripts of shells, and one for kubectl's own completion.
func addCompletion(root *cobra.Command) {
	root.InitDefaultCompletionCmd()
	for _, cmd := range root.Commands() {
		if cmd.Name() != "completion" {
			continue
		}
		cmd.AddCommand(&cobra.Command{
			Use:   "kubectl",
			Short: "Write the program by which kubectl completes the plugin's commands",
			Long: `Write the program by which kubectl completes the plugin's commands, as its own shell completion does for kubectl's.

kubectl finds it as kubectl_complete-metricspipeline in a folder of PATH, such as the one that has the plugin.`,
			Example: `  kubectl metricspipeline completion kubectl > ~/.krew/bin/kubectl_complete-metricspipeline
  chmod +x ~/.krew/bin/kubectl_complete-metricspipeline`,
			Args: noArguments,
			RunE: perform(func(context.Context, []string) error {
				_, err := fmt.Fprint(root.OutOrStdout(), pluginCompletion)
				return err
			}),
		})
	}
}
