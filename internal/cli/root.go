// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"

	"github.com/spf13/cobra"
	"k8s.io/cli-runtime/pkg/genericiooptions"
	"k8s.io/klog/v2"
)

// Program is the name of the binary: kubectl runs it as `kubectl metricspipeline`.
const Program = "kubectl-metricspipeline"

// Main runs a command line and returns the exit code.
func Main(ctx context.Context, version string, arguments []string, streams genericiooptions.IOStreams) int {
	return run(ctx, newEnvironment(version, streams), arguments)
}

func run(ctx context.Context, env *environment, arguments []string) int {
	quietKlog()
	root := command(env)                           //nolint:contextcheck // a command gets its context from cobra
	root.SetArgs(append([]string{}, arguments...)) // For nil cobra would take the arguments of the process.
	err := root.ExecuteContext(ctx)
	if err == nil {
		return ExitWorks
	}
	var coded *exitError
	if !errors.As(err, &coded) { // Errors of a command have a code: this one is cobra's, about the command line.
		coded = &exitError{code: ExitUsage, err: err}
	}
	if coded.err != nil {
		fmt.Fprintf(env.ErrOut, "error: %v\n", coded.err)
	}
	if coded.code == ExitUsage {
		fmt.Fprintf(env.ErrOut, "See 'kubectl metricspipeline --help' for the commands and their flags.\n")
	}
	return coded.code
}

// Command is the root command with all others, for what documents them.
func Command(version string, streams genericiooptions.IOStreams) *cobra.Command {
	return command(newEnvironment(version, streams))
}

func command(env *environment) *cobra.Command {
	root := &cobra.Command{
		Use:         Program,
		Annotations: map[string]string{cobra.CommandDisplayNameAnnotation: "kubectl metricspipeline"},
		Short:       "See how the metrics pipeline of a cluster works, and why an autoscaler does not",
		Long: `See how the metrics pipeline of a cluster works, and why a HorizontalPodAutoscaler has no number.

It reads with your own rights, and changes nothing in the cluster.

` + exitCodes,
		Example: `  # The pipeline as a tree
  kubectl metricspipeline status

  # Why the HorizontalPodAutoscaler web of the namespace shop does not scale
  kubectl metricspipeline why hpa/web -n shop`,
		SilenceUsage:      true,
		SilenceErrors:     true,
		DisableAutoGenTag: true,
	}
	root.SetIn(env.In)
	root.SetOut(env.Out)
	root.SetErr(env.ErrOut)
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return usage("%w", err) })
	env.flags.AddFlags(root.PersistentFlags())
	root.AddCommand(statusCommand(env), whyCommand(env), rulesCommand(env), reportCommand(env), versionCommand(env))
	addCompletion(root)
	return root
}

// quietKlog keeps what client-go logs, such as a warning of discovery, off the terminal: what matters of it is in an error.
func quietKlog() {
	flags := flag.NewFlagSet("klog", flag.ContinueOnError)
	klog.InitFlags(flags)
	_ = flags.Set("logtostderr", "false")
	_ = flags.Set("stderrthreshold", "FATAL")
	klog.SetOutput(io.Discard)
}

// perform makes the RunE of a command whose errors have an exit code.
func perform(do func(ctx context.Context, arguments []string) error) func(*cobra.Command, []string) error {
	return func(cmd *cobra.Command, arguments []string) error { return asFailure(do(cmd.Context(), arguments)) }
}

// noArguments refuses arguments.
func noArguments(cmd *cobra.Command, arguments []string) error {
	if len(arguments) > 0 {
		return usage("%s takes no arguments, and %q is one: leave it out", cmd.CommandPath(), arguments[0])
	}
	return nil
}
