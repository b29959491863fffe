// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"github.com/spf13/cobra"
)

func rulesCommand(env *environment) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "rules",
		Short: "Import, export and test rules, and write ready-made ones",
		Long: `Import rules from prometheus-adapter, export rules that the operator derived from HorizontalPodAutoscalers, test what a
rule gives now, and write ready-made rules for the request rates of ingress controllers.

` + exitCodes,
		Args: func(cmd *cobra.Command, arguments []string) error {
			if len(arguments) > 0 {
				return usage("%[1]s has no command %[2]q: see %[1]s --help for those that it has", cmd.CommandPath(), arguments[0])
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(rulesImportCommand(env), rulesExportCommand(env), rulesPresetCommand(env), rulesTestCommand(env))
	return cmd
}
